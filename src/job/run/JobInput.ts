/** Writes to the standard input of running jobs. */
import * as fs from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { systemReason } from "../../process/Diagnosis.js"
import type { Attempts } from "./Attempts.js"
import * as AttemptFiles from "../keeper/AttemptFiles.js"
import type { JobRecord } from "../JobRecord.js"
import type { RunnerContext } from "./RunnerContext.js"
import { InputClosed } from "../RunnerError.js"
import type { JobNotFound, StoreError } from "../StoreError.js"

/** The job does not read for the moment. */
class Full {
  readonly _tag = "Full"
}

const closed = (record: JobRecord, reason: string): InputClosed =>
  new InputClosed({ id: record.id, state: record.state._tag, reason })

/** As much as the job's pipe takes now. Never waits. */
const offer = (path: string, bytes: Uint8Array): number => {
  const descriptor = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK)
  try {
    return bytes.length === 0 ? 0 : fs.writeSync(descriptor, bytes)
  } finally {
    fs.closeSync(descriptor)
  }
}

/** How long a queued job is waited for: it may be about to start. */
const patience = "5 seconds"

/** The job once it has left the queue, or as it is when that takes too long. */
const begun = (context: RunnerContext, record: JobRecord) =>
  Effect.scoped(
    Effect.gen(function* () {
      if (record.state._tag !== "queued") return record
      const changes = yield* context.changes.of(record.id)
      const now = yield* context.store.get(record.id)
      if (now.state._tag !== "queued") return now
      const later = yield* changes.pipe(
        Stream.filter(({ state }) => state._tag !== "queued"),
        Stream.runHead,
        Effect.timeoutOption(patience),
      )
      return Option.getOrElse(Option.flatten(later), () => now)
    }),
  )

/** See `JobRunner.write`. */
export const write = (
  context: RunnerContext,
  attempts: Attempts,
  asked: JobRecord,
  bytes: Uint8Array,
  end: boolean,
): Effect.Effect<JobRecord, InputClosed | JobNotFound | StoreError> =>
  Effect.gen(function* () {
    if (asked.spec.stdin !== "pipe") return yield* closed(asked, 'it was not accepted with stdin "pipe"')
    const record = yield* begun(context, asked)
    const attempt = attempts.of(record)
    if (attempt === undefined || attempt.isEnding)
      return yield* closed(record, record.state._tag === "queued" ? "it has not started yet" : "it is over")
    const path = join(context.root, AttemptFiles.folderOf(record.id), "stdin")
    if (fs.existsSync(`${path}.end`)) return yield* closed(record, "its input has been ended before")
    let left = bytes
    yield* Effect.try({
      try: () => {
        while (true) {
          left = left.subarray(offer(path, left))
          if (left.length === 0) return
        }
      },
      catch: (cause) => {
        const { code } = cause as NodeJS.ErrnoException
        // Until its keeper has made the pipe there is none, or nobody at it.
        const isEarly = (code === "ENOENT" || code === "ENXIO") && attempt.begun === undefined
        return code === "EAGAIN" || isEarly ? new Full() : closed(record, systemReason(cause))
      },
    }).pipe(
      Effect.retry({
        schedule: Schedule.spaced("20 millis"),
        while: (error) => error._tag === "Full" && !attempt.isEnding,
      }),
      Effect.catchTag("Full", () => Effect.fail(closed(record, "it ended before it had read all of it"))),
    )
    if (end) {
      yield* Effect.try({
        try: () => {
          fs.writeFileSync(`${path}.end`, "", { mode: 0o600 })
          // It holds the pipe open, and looks for that file when it is told to.
          if (context.table.isStill(attempt.keeper)) process.kill(attempt.keeper.pid, "SIGUSR1")
        },
        catch: (cause) => closed(record, systemReason(cause)),
      })
    }
    return record
  })
