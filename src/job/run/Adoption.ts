/** What an earlier life of the program left: its running jobs are taken over, whatever they have come to meanwhile. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ProcessIdentity, isSame } from "../../process/ProcessIdentity.js"
import { Attempt } from "./Attempt.js"
import type { Attempts } from "./Attempts.js"
import type { JobRecord } from "../JobRecord.js"
import { lastAttempt } from "../JobRecord.js"
import type { RunnerContext } from "./RunnerContext.js"
import { background, timed } from "./RunnerContext.js"
import type { StoreError } from "../StoreError.js"

const Identity = Schema.parseJson(ProcessIdentity)

const encode = Schema.encodeSync(Identity)
const names = new WeakMap<ProcessIdentity, string>()

/** A keeper as attempts name it. */
export const keeperName = (identity: ProcessIdentity): string => {
  const name = names.get(identity) ?? encode(identity)
  names.set(identity, name)
  return name
}

const nobody = new ProcessIdentity({ pid: 0, startTime: "", bootId: "" })

const keeperOf = (name: string): ProcessIdentity =>
  Either.getOrElse(Schema.decodeUnknownEither(Identity)(name), () => nobody)

/** Whether that keeper is alive; true as well when that cannot be told now. */
const isAlive = (context: RunnerContext, keeper: ProcessIdentity): Effect.Effect<boolean> =>
  keeper.pid <= 1 || keeper.bootId !== context.bootId
    ? Effect.succeed(false)
    : Effect.match(context.table.identify(keeper.pid), {
        onFailure: () => true,
        onSuccess: (found) => found !== undefined && isSame(found, keeper),
      })

/** Takes over all jobs that have not ended. The bell must be listened to by now, and nothing be accepted yet. */
export const run = (context: RunnerContext, attempts: Attempts): Effect.Effect<number, StoreError> =>
  Effect.gen(function* () {
    let adopted = 0
    yield* Stream.runForEach(context.store.unended, (record) =>
      Effect.gen(function* () {
        context.queue.put(yield* timed(context, record))
        if (record.state._tag !== "running") return
        adopted += 1
        yield* Effect.catchAllCause(adopt(context, attempts, record), (cause) =>
          Effect.logError(`Job ${record.id} could not be taken over`, cause),
        )
      }),
    )
    return adopted
  })

const adopt = (context: RunnerContext, attempts: Attempts, record: JobRecord): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { bootId, keeper, number, process, startedAt } = lastAttempt(record)!
    const spec = Option.getOrUndefined(yield* Effect.option(context.store.spec(record.id)))
    const attempt = new Attempt(context, record, number, keeperOf(keeper), spec)
    attempts.add(attempt)
    const noted = yield* attempts.noted(attempt)
    if (noted?.begun !== undefined) {
      yield* attempts.begun(
        attempt,
        noted.begun,
        startedAt ?? (yield* attempts.startTime(attempt, noted.begun)),
      )
    } else if (process !== undefined) {
      yield* attempts.begun(attempt, process, startedAt ?? record.createdAt)
    }
    const mayBegin = noted === undefined && process === undefined
    if (mayBegin && (yield* attempts.forbid(attempt))) {
      return yield* attempts.withdraw(attempt, "the program ended before its keeper was asked to begin")
    }
    if (bootId !== context.bootId && noted?.outcome === undefined) {
      return yield* attempts.lose(attempt, "The system was started anew while it ran.", "reboot")
    }
    yield* attempts.check(attempt, yield* isAlive(context, attempt.keeper))
  })

/** How often everything that runs is looked after: for keepers that were killed, and news that was lost. */
const sweepEvery = "2 seconds"

/** Looks after the running attempts for ever. Each look costs one read per attempt. */
export const sweep = (context: RunnerContext, attempts: Attempts): Effect.Effect<void> =>
  background(
    context,
    Effect.gen(function* () {
      yield* context.keeper.renewBell
      const keepers = new Map<string, boolean>()
      for (const [index, attempt] of attempts.all.entries()) {
        const name = `${attempt.keeper.pid} ${attempt.keeper.startTime}`
        const known = keepers.get(name)
        const isKept = known ?? (yield* isAlive(context, attempt.keeper))
        keepers.set(name, isKept)
        yield* Effect.catchAllCause(attempts.check(attempt, isKept), (cause) =>
          Effect.logWarning(`Job ${attempt.id} could not be looked after`, cause),
        )
        if (index % 64 === 63) yield* Effect.sleep(1)
      }
    }).pipe(
      Effect.catchAllCause((cause) => Effect.logWarning("The running jobs could not be looked after", cause)),
      Effect.delay(sweepEvery),
      Effect.forever,
    ),
  )
