/** The `log` probe: watches the instance's output from the moment it is made, and remembers the first match. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Source } from "../process/ProcessOutput.js"
import type { LogPlan } from "./ProbePlan.js"
import { type Passed, ProbeFailure, quote } from "./ProbeResult.js"

/**
 * Watches until its scope closes; what comes out is the check. The last 8 KiB of what was written before count too.
 *
 * @param onMatch called once, on the turn of the event loop that read the line
 */
export const watch = (
  plan: LogPlan,
  onMatch: () => void,
): Effect.Effect<Effect.Effect<Passed, ProbeFailure>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const { output, pattern, redact } = plan
        let matched: Readonly<Record<string, string>> | undefined
        let last: string | undefined
        let ended = false

        const test = (text: string): void => {
          const match = matched === undefined ? pattern.exec(text) : null
          if (match === null) return
          const outputs: Record<string, string> = {}
          for (const [name, value] of Object.entries(match.groups ?? {})) {
            if (value !== undefined) outputs[name] = value
          }
          matched = outputs
          onMatch()
        }

        // The line under way was begun on one of the two streams; there is no telling on which.
        const earlier = output.tail().split(/\r?\n/)
        const begun = new Map<Source, string>()
        const open = earlier.pop() ?? ""
        if (open !== "") for (const source of ["stdout", "stderr"] as const) begun.set(source, open)
        for (const line of earlier) {
          last = line
          test(line)
        }
        const unsubscribe = output.subscribeLines(
          ({ source, text }) => {
            last = text
            const start = begun.get(source)
            if (start !== undefined) {
              begun.delete(source)
              test(start + text)
            }
            test(text)
            if (matched !== undefined) unsubscribe?.()
          },
          () => {
            ended = true
            // The last line may have no end, and what there is of it may have come before.
            for (const start of begun.values()) test(start)
          },
        ) as (() => void) | undefined
        if (matched !== undefined) unsubscribe?.()

        const check = Effect.suspend(() => {
          if (matched !== undefined) return Effect.succeed<Passed>({ outputs: matched, peers: [] })
          return Effect.fail(
            new ProbeFailure({
              kind: "log",
              subject: "The output",
              reason: `${ended ? "has ended, and no line of it matches" : "has no line yet that matches"} /${quote(pattern.source)}/ (${
                last === undefined ? "nothing was written" : `the last line: ${quote(redact(last))}`
              })`,
              class: "unhealthy",
              transient: true,
              contact: "none",
            }),
          )
        })
        return { check, release: () => unsubscribe?.() }
      }),
      ({ release }) => Effect.sync(release),
    ),
    ({ check }) => check,
  )
