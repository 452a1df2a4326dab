/** Processes that outlive their jobs. */
import * as Effect from "effect/Effect"
import { cut } from "../../process/Kill.js"
import type { TableUnreadable } from "../../process/ProcessTable.js"
import { redactorOf } from "./Attempt.js"
import type { JobId } from "../JobId.js"
import type { Stray } from "../JobRunnerService.js"
import { hasEnded } from "../JobRecord.js"
import type { RunnerContext } from "./RunnerContext.js"
import type { StoreError } from "../StoreError.js"

/** The marks of `Attempt.markOf`. */
const mark = /^([0-9A-HJKMNP-TV-Z]{26})\.\d+$/

/** Looks at every process of the machine once. Those of other roots are not told: their jobs are not known here. */
export const find = (
  context: RunnerContext,
): Effect.Effect<ReadonlyArray<Stray>, TableUnreadable | StoreError> =>
  Effect.gen(function* () {
    const strays: Array<Stray> = []
    for (const process of yield* context.table.marked(mark)) {
      const id = mark.exec(process.mark)![1] as JobId
      const record = yield* Effect.catchTag(context.store.get(id), "JobNotFound", () =>
        Effect.succeed(undefined),
      )
      if (record === undefined || !hasEnded(record)) continue
      const redact = redactorOf(context, record, undefined)
      strays.push({ id, pid: process.pid, command: cut(redact(process.command)) })
    }
    return strays
  })
