/**
 * Brings events to commands and files, and tries again. At most eight commands run at a time, four of them the same
 * one, so that one that hangs does not hold up the others; files do not wait for commands, nor for each other.
 */
import { resolve } from "node:path"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberSet from "effect/FiberSet"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as ExitStatus from "../../process/ExitStatus.js"
import { ProcessSpawner } from "../../process/ProcessSpawner.js"
import type * as ProcessSpec from "../../process/ProcessSpec.js"
import type { Notification } from "../JobSpec.js"
import * as NotifyFile from "./NotifyFile.js"

/** What is to be delivered. */
export interface Parcel {
  readonly notification: Notification
  /** Where a command runs; in `/` when it is not there any more. */
  readonly cwd: string
  /** Names of variables whose values must not be shown. */
  readonly mask: ReadonlyArray<string>
  /** One line of JSON, without its end. */
  readonly line: string
  /** What to do when it is delivered or given up. It is not interrupted. */
  readonly settle: (outcome: Outcome) => Effect.Effect<void>
}

/** What came of it. */
export type Outcome = Data.TaggedEnum<{
  Delivered: {}
  GivenUp: { readonly tries: number; readonly reason: string }
}>

/** The outcomes by name. */
export const Outcome = Data.taggedEnum<Outcome>()

/** Delivers. It never fails, and is over when the parcel is settled. */
export type Deliver = (parcel: Parcel) => Effect.Effect<void>

/** When to try again after a failure: after 1 s, doubling to 5 min, each a fifth more or less; ten tries in all. */
export const retry: Schedule.Schedule<unknown> = Schedule.exponential("1 second").pipe(
  Schedule.union(Schedule.spaced("5 minutes")),
  Schedule.jittered,
  Schedule.intersect(Schedule.recurs(9)),
)

/** How long a command may take before it is killed, with all its processes. */
const commandSeconds = 30

const atOnce = 8
const sameAtOnce = 4

class NotDelivered extends Data.TaggedError("NotDelivered")<{ readonly reason: string }> {
  override get message(): string {
    return this.reason
  }
}

const inTime = Effect.timeoutFail({
  duration: commandSeconds * 1_000,
  onTimeout: () => new NotDelivered({ reason: `it took more than ${commandSeconds} s` }),
})

const settled = (
  parcel: Parcel,
  tries: number,
  result: Either.Either<unknown, { readonly message: string }>,
) =>
  parcel.settle(
    Either.isRight(result) ? Outcome.Delivered() : Outcome.GivenUp({ tries, reason: result.left.message }),
  )

/** Bounds that are there for as long as somebody uses them. */
const lanes = () => {
  const open = new Map<string, { readonly semaphore: Effect.Semaphore; users: number }>()
  return <A, E, R>(name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const lane = open.get(name) ?? { semaphore: Effect.unsafeMakeSemaphore(sameAtOnce), users: 0 }
        lane.users++
        open.set(name, lane)
        return lane
      }),
      ({ semaphore }) => semaphore.withPermits(1)(effect),
      (lane) =>
        Effect.sync(() => {
          if (--lane.users === 0) open.delete(name)
        }),
    )
}

/** What a command that failed has said, for the log. */
const saidBy = (text: string): string => {
  const said = text.trim().slice(-500)
  return said === "" ? "" : `, saying ${JSON.stringify(said)}`
}

interface Waiting {
  readonly parcel: Parcel
  readonly done: Deferred.Deferred<void>
}

/**
 * Delivers for the length of the scope.
 *
 * @param schedule when to try again
 */
export const make = (
  schedule: Schedule.Schedule<unknown>,
): Effect.Effect<Deliver, never, ProcessSpawner | Scope.Scope> =>
  Effect.gen(function* () {
    const spawner = yield* ProcessSpawner
    const fork = yield* FiberSet.makeRuntime<never>()
    const commands = (yield* Effect.makeSemaphore(atOnce)).withPermits(1)
    const files = (yield* Effect.makeSemaphore(atOnce)).withPermits(1)
    const inLane = lanes()

    const run = (command: ProcessSpec.Input["command"], { cwd, line, mask }: Parcel) =>
      Effect.gen(function* () {
        const spawn = (cwd: string) =>
          spawner.spawn({
            command,
            cwd,
            mask,
            stdin: { bytes: `${line}\n` },
            stdout: "null",
            stop: { grace: "2s" },
          })
        // It may be told that a job could not start because its directory is gone.
        const child = yield* Effect.catchTag(spawn(cwd), "BadWorkingDirectory", () => spawn("/"))
        const status = yield* child.exit
        if (ExitStatus.isSuccess(status)) return
        const said = saidBy(child.redact(child.output.tail()))
        return yield* new NotDelivered({ reason: `it ended with ${ExitStatus.format(status)}${said}` })
      }).pipe(
        Effect.scoped,
        inTime,
        Effect.mapError((error) =>
          error._tag === "NotDelivered" ? error : new NotDelivered({ reason: error.message }),
        ),
      )

    const byCommand = (command: ProcessSpec.Input["command"], parcel: Parcel) =>
      Effect.uninterruptibleMask((restore) => {
        let tries = 0
        const once = Effect.suspend(() => {
          tries++
          return run(command, parcel)
        })
        const limited = inLane(JSON.stringify(command), commands(once))
        return Effect.flatMap(Effect.either(restore(Effect.retry(limited, schedule))), (result) =>
          settled(parcel, tries, result),
        )
      })

    // For each file those that wait for it, in their order.
    const queues = new Map<string, Array<Waiting>>()

    /** What waits for a file shares its tries: it is the file that is at fault, not the line. */
    const appendAll = (path: string, batch: ReadonlyArray<Waiting>): Effect.Effect<void> =>
      Effect.suspend(() => {
        let tries = 0
        let next = 0
        const settle = (result: Either.Either<unknown, { readonly message: string }>) =>
          Effect.suspend(() => {
            const { done, parcel } = batch[next++]!
            return Effect.zipRight(settled(parcel, tries, result), Deferred.succeed(done, undefined))
          }).pipe(Effect.uninterruptible)
        const one = Effect.suspend(() => NotifyFile.appendLine(path, batch[next]!.parcel.line)).pipe(
          Effect.zipRight(settle(Either.right(undefined))),
          Effect.uninterruptible,
        )
        const once = Effect.suspend(() => {
          tries++
          return Effect.whileLoop({ while: () => next < batch.length, body: () => one, step: () => {} })
        })
        return Effect.catchAll(Effect.retry(files(once), schedule), (error) =>
          Effect.whileLoop({
            while: () => next < batch.length,
            body: () => settle(Either.left(error)),
            step: () => {},
          }),
        )
      })

    const drain = (path: string, queue: Array<Waiting>): Effect.Effect<void> =>
      Effect.suspend(() => {
        const batch = queue.splice(0)
        if (batch.length > 0) return Effect.zipRight(appendAll(path, batch), drain(path, queue))
        queues.delete(path)
        return Effect.void
      })

    const byFile = (file: string, parcel: Parcel) =>
      Effect.flatMap(Deferred.make<void>(), (done) => {
        const path = resolve(file)
        const queue = queues.get(path)
        if (queue === undefined) {
          const fresh = [{ parcel, done }]
          queues.set(path, fresh)
          fork(drain(path, fresh))
        } else queue.push({ parcel, done })
        return Deferred.await(done)
      })

    return (parcel) =>
      "file" in parcel.notification
        ? byFile(parcel.notification.file, parcel)
        : byCommand(parcel.notification.command, parcel)
  })
