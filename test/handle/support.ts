/** Resources that do just what a test says, and a handle to them. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Handle from "../../src/handle/Handle.js"

/** What the handles of these tests hold. */
export interface Server {
  readonly id: number
  readonly url: string
}

/** The start of a server has failed. */
export class StartFailed extends Schema.TaggedError<StartFailed>()("StartFailed", {
  why: Schema.String,
  retryable: Schema.Boolean,
}) {
  override get message(): string {
    return `It did not start: ${this.why}`
  }
}

export const broken = new StartFailed({ why: "it is broken", retryable: true })
export const hopeless = new StartFailed({ why: "it is hopeless", retryable: false })

/** Where servers are started, and everything that happens there. */
export class Lab {
  starts = 0
  validations = 0
  validating = 0
  readonly live = new Set<Server>()
  /** The most servers that were ever alive at once; one counts from the beginning of its start. */
  mostLive = 0
  /** What happened, in order. */
  readonly log: Array<string> = []
  /** What a start does before it has succeeded. */
  onStart: (server: Server, context: Handle.StartContext) => Effect.Effect<unknown, StartFailed> = () =>
    Effect.void
  /** What a stop does before it is over. */
  onStop: (server: Server) => Effect.Effect<unknown> = () => Effect.void
  /** What a validation does. */
  onValidate: (server: Server) => Effect.Effect<unknown, unknown> = () => Effect.void

  readonly start = (context: Handle.StartContext): Effect.Effect<Server, StartFailed, Scope.Scope> =>
    Effect.gen(this, function* () {
      const server = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const id = ++this.starts
          const server = { id, url: `http://127.0.0.1:${4_000 + id}` }
          this.live.add(server)
          this.mostLive = Math.max(this.mostLive, this.live.size)
          this.log.push(`start ${id}`)
          return server
        }),
        (server) =>
          Effect.sync(() => this.log.push(`stop ${server.id}`)).pipe(
            Effect.andThen(Effect.suspend(() => this.onStop(server))),
            Effect.andThen(
              Effect.sync(() => {
                this.live.delete(server)
                this.log.push(`stopped ${server.id}`)
              }),
            ),
          ),
      )
      yield* this.onStart(server, context)
      this.log.push(`started ${server.id}`)
      return server
    })

  readonly validate = (server: Server): Effect.Effect<unknown, unknown> =>
    Effect.suspend(() => {
      this.validations++
      this.validating++
      return this.onValidate(server)
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          this.validating--
        }),
      ),
    )
}

type Options = Partial<Handle.Options<Server, StartFailed, Scope.Scope, never>>

/** A handle to the servers of a lab. */
export const make = (lab: Lab, options: Options = {}) =>
  Handle.make<Server, StartFailed, Scope.Scope>({
    name: "web",
    start: lab.start,
    validate: lab.validate,
    describe: ({ url }) => ({ baseUrl: url }),
    guard: { environment: {} },
    ...options,
  })

/** A handle that already has one. */
export const makeReady = (lab: Lab, options: Options = {}) =>
  Effect.tap(make(lab, options), (handle) => handle.acquire)

/** Everything that can happen without the passing of time has happened. */
export const quiet: Effect.Effect<void> = Effect.async((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Forks so many, and lets them come as far as they can. */
export const forkMany = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>) =>
  Effect.zipLeft(Effect.all(Array.from({ length: count }, () => Effect.fork(effect))), quiet)

/** Forks, and lets it come as far as it can. */
export const forkOne = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.zipLeft(Effect.fork(effect), quiet)

/** The error of something that must have failed by now. */
export const errorOf = <A, E>(fiber: Fiber.RuntimeFiber<A, E>): Effect.Effect<E> =>
  Effect.flip(Fiber.join(fiber)) as Effect.Effect<E>

/** Whether it is over. */
export const isOver = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean => fiber.unsafePoll() !== null

/** A gate that is shut: whoever comes waits until it is opened. */
export const gate = Effect.map(Deferred.make<void>(), (deferred) => ({
  pass: Deferred.await(deferred),
  open: Deferred.succeed(deferred, undefined),
}))
