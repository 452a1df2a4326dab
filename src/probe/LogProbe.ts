/** The `log` probe: watches the instance's output from the moment it is made, and remembers the first match. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as LinePattern from "../process/LinePattern.js"
import * as LineSplitter from "../process/LineSplitter.js"
import type { Source } from "../process/ProcessOutput.js"
import type { LogPlan } from "./ProbePlan.js"
import { type Passed, ProbeFailure, quote } from "./ProbeResult.js"

/** How much of what was written before is looked at: what `ProcessOutput.tail` keeps. */
const tailBytes = 8_192

/**
 * Watches until its scope closes; what comes out is the check. The last 8 KiB of what was written before count too.
 *
 * @param onVerdict called once, on the turn of the event loop that read the line
 */
export const watch = (
  plan: LogPlan,
  onVerdict: () => void,
): Effect.Effect<Effect.Effect<Passed, ProbeFailure>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const { output, pattern, redact } = plan
        let verdict: Effect.Effect<Passed, ProbeFailure> | undefined
        let last: string | undefined
        let ended = false
        let unsubscribe = (): void => {}

        const fail = (failureClass: "unhealthy" | "error", reason: string) =>
          Effect.fail(
            new ProbeFailure({
              kind: "log",
              subject: "The output",
              reason,
              class: failureClass,
              transient: failureClass === "unhealthy",
              contact: "none",
            }),
          )
        const shown = `/${quote(pattern.source)}/`

        const test = (lines: ReadonlyArray<string>): void => {
          if (verdict !== undefined || lines.length === 0) return
          const result = LinePattern.search(pattern, lines)
          if (result === undefined) return
          verdict =
            result._tag === "Match"
              ? Effect.succeed({ outputs: LinePattern.groupsOf(result.match), peers: [] })
              : fail(
                  "error",
                  `has a line that takes more than ${LinePattern.limitMillis} ms to be matched with ${shown}. Write it without repetitions inside of repetitions`,
                )
          unsubscribe()
          onVerdict()
        }

        const earlier = output.tail().split(/\r?\n/)
        // The line under way was begun on one of the two streams; there is no telling on which.
        const open = earlier.pop() ?? ""
        // The first may be the end of a line that was cut.
        if (output.bytes() > tailBytes) earlier.shift()
        last = earlier.at(-1)
        test(earlier)

        const stream = () => ({ splitter: LineSplitter.make(), start: open })
        const streams: Record<Source, ReturnType<typeof stream>> = { stdout: stream(), stderr: stream() }
        const take = (source: Source, split: ReadonlyArray<LineSplitter.Line>): void => {
          const lines = split.map(({ text }) => text)
          last = lines.at(-1) ?? last
          const { start } = streams[source]
          if (start !== "" && lines.length > 0) {
            streams[source].start = ""
            lines.unshift(start + lines[0]!)
          }
          test(lines)
        }
        if (verdict === undefined) {
          unsubscribe = output.subscribe(
            ({ bytes, source }) => take(source, streams[source].splitter.push(bytes)),
            () => {
              ended = true
              for (const source of ["stdout", "stderr"] as const) {
                take(source, streams[source].splitter.flush())
                // The last line may have no end, and what there is of it may have come before.
                if (streams[source].start !== "") test([open])
              }
            },
          )
        }

        const check = Effect.suspend(
          () =>
            verdict ??
            fail(
              "unhealthy",
              `${ended ? "has ended, and no line of it matches" : "has no line yet that matches"} ${shown} (${
                last === undefined ? "nothing was written" : `the last line: ${quote(redact(last))}`
              })`,
            ),
        )
        return { check, release: () => unsubscribe() }
      }),
      ({ release }) => Effect.sync(release),
    ),
    ({ check }) => check,
  )
