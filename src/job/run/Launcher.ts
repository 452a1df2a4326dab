/** Starts queued jobs when it is their turn. */
import { randomBytes } from "node:crypto"
import * as Effect from "effect/Effect"
import { lineageVariable, ownerVariable } from "../../process/Environment.js"
import { Attempt, markOf } from "./Attempt.js"
import * as AttemptFiles from "../keeper/AttemptFiles.js"
import type { Attempts } from "./Attempts.js"
import { keeperName } from "./Adoption.js"
import { JobEvent } from "../JobEvent.js"
import type { JobId } from "../JobId.js"
import { transition } from "../JobRecord.js"
import type { JobSpec } from "../JobSpec.js"
import type { StartRequest } from "../keeper/KeeperProtocol.js"
import type { RunnerContext } from "./RunnerContext.js"
import { background, now, publish, steadily } from "./RunnerContext.js"

/** So many jobs are on their way from the queue to the keeper at the same time. */
const atOnce = 64

/** How long nothing is started after the system had no room for it, in milliseconds: at first, and at most. */
const shortestRest = 250
const longestRest = 30_000

/** How often the wall clock is looked at while jobs wait for a time, in milliseconds. */
const longestSleep = 30_000
const notableDrift = 500

const stdinOf = ({ stdin }: JobSpec): StartRequest["stdin"] => {
  if (typeof stdin === "string") return stdin
  if ("file" in stdin) return stdin
  return { bytes: "text" in stdin ? Buffer.from(stdin.text) : Buffer.from(stdin.base64, "base64") }
}

/** Starts queued jobs. */
export class Launcher {
  /** What the jobs of this program carry in `HOLDFAST_OWNER`. Not that of its scoped processes: jobs outlive it. */
  private readonly owner = randomBytes(16).toString("hex")
  private rest = 0
  private restUntil = 0
  private inFlight = 0
  /** By how much the steady clock is ahead of the wall's. */
  private drift = 0

  constructor(private readonly context: RunnerContext) {}

  /** There was no room for another process, or for its files. */
  readonly refused: Effect.Effect<void> = Effect.map(steadily, (at) => {
    if (at < this.restUntil) return
    this.rest = Math.min(longestRest, Math.max(shortestRest, this.rest * 2))
    this.restUntil = at + this.rest
  })

  /** A process was started: there is room. */
  readonly begun = (): void => {
    this.rest = 0
  }

  /** Starts what may start, for ever. */
  run(attempts: Attempts): Effect.Effect<void> {
    const { context } = this
    const { queue, store, wake } = context
    const once = Effect.gen(this, function* () {
      for (const id of queue.unknown()) {
        const found = yield* Effect.option(Effect.either(store.get(id)))
        if (found._tag === "Some" && found.value._tag === "Right") queue.settle(id, found.value.right)
        else if (
          found._tag === "Some" &&
          found.value._tag === "Left" &&
          found.value.left._tag === "JobNotFound"
        )
          queue.settle(id, undefined)
      }
      const at = yield* steadily
      yield* this.followTheWall(at)
      const isResting = at < this.restUntil
      const { launch, refuse } = queue.take(at, isResting ? 0 : Math.max(0, atOnce - this.inFlight))
      for (const { id, reason } of refuse) yield* background(context, this.refuse(id, reason))
      for (const id of launch) {
        this.inFlight += 1
        yield* background(
          context,
          Effect.ensuring(
            this.launch(attempts, id),
            Effect.sync(() => {
              this.inFlight -= 1
              if (this.inFlight === atOnce - 1) wake.signal()
            }),
          ),
        )
      }
      const next = isResting ? this.restUntil : queue.nextAt(at)
      yield* next === undefined
        ? wake.wait
        : Effect.raceFirst(wake.wait, Effect.sleep(Math.min(Math.max(next - at, 1), longestSleep)))
    })
    return background(context, Effect.forever(once))
  }

  /** The wall clock was set, or the machine slept: start times come sooner or later now. */
  private followTheWall(at: number): Effect.Effect<void> {
    const { queue, startTimes } = this.context
    return Effect.map(now, (wall) => {
      const drift = at - wall
      if (Math.abs(drift - this.drift) < notableDrift) return
      this.drift = drift
      for (const [id, startTime] of startTimes) queue.reschedule(id, startTime + drift)
    })
  }

  private launch(attempts: Attempts, id: JobId): Effect.Effect<void> {
    const { context } = this
    return Effect.gen(this, function* () {
      const hand = yield* context.keeper.hand
      const at = yield* now
      const record = yield* context.store.update(id, (record) => {
        const { stderr, stdout } = AttemptFiles.pathsOf(id, record.attempts.length + 1)
        const { bootId } = context
        return transition(
          record,
          JobEvent.Launch({ at, keeper: keeperName(hand.identity), bootId, stdout, stderr }),
        )
      })
      const number = record.attempts.length
      const spec = record.hidden.length === 0 ? record.spec : yield* Effect.either(context.store.spec(id))
      const known = "_tag" in spec ? (spec._tag === "Right" ? spec.right : undefined) : spec
      const attempt = new Attempt(context, record, number, hand.identity, known)
      attempts.add(attempt)
      yield* publish(context, record)
      if ("_tag" in spec && spec._tag === "Left") return yield* attempts.fail(attempt, spec.left)
      hand.start(this.request(attempt, known!))
    }).pipe(
      Effect.catchAll((error) =>
        Effect.gen(this, function* () {
          // Cancelled, or deleted, before it came to that.
          if (error._tag === "InvalidTransition" || error._tag === "JobNotFound") return
          yield* this.refused
          yield* Effect.logWarning(`Job ${id} cannot be started yet: ${error.message}`)
          context.queue.giveBack(id)
          context.wake.signal()
        }),
      ),
    )
  }

  private request({ id, number, paths }: Attempt, spec: JobSpec): StartRequest {
    const { command, cwd, env, inheritEnv } = spec
    const marks = { [ownerVariable]: this.owner, [lineageVariable]: markOf(id, number), HOLDFAST_JOB: id }
    return { paths, command, cwd, inheritEnv, env: { ...env, ...marks }, stdin: stdinOf(spec) }
  }

  private refuse(id: JobId, reason: string): Effect.Effect<void> {
    const { context } = this
    return Effect.gen(function* () {
      const at = yield* now
      const record = yield* context.store.update(id, (record) =>
        transition(record, JobEvent.Refuse({ at, error: "DependencyFailed", reason, cause: "dependency" })),
      )
      if (record.spec.notifications.length > 0) yield* context.notifier.prepare(record)
      yield* publish(context, record)
      if (record.spec.notifications.length > 0) yield* context.notifier.deliver(record)
    }).pipe(
      Effect.catchAll((error) =>
        Effect.sync(() => {
          if (error._tag !== "InvalidTransition" && error._tag !== "JobNotFound") context.queue.giveBack(id)
        }),
      ),
    )
  }
}
