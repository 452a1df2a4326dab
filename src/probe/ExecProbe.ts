/** The `exec` probe: passes when a command exits 0. Whatever it started is gone when the check is over. */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ExitStatus from "../process/ExitStatus.js"
import * as Mask from "../process/Mask.js"
import type { Process } from "../process/Process.js"
import type { ProcessSpawner } from "../process/ProcessSpawner.js"
import type * as ProcessSpec from "../process/ProcessSpec.js"
import { type ExecPlan, variablesOf } from "./ProbePlan.js"
import { type FailureClass, type Passed, ProbeFailure } from "./ProbeResult.js"

/** At most so many characters of a command's output are quoted in a failure. */
const outputCap = 400

/** How long a failure waits for the last output of a command that has ended; a descendant may hold the pipe open. */
const outputGrace = Duration.millis(100)

/** A variable that a probe sets for itself is most often a credential; short values are not, and hiding them garbles. */
const looksSecret = ([, value]: [string, string]): boolean => value.length >= 8

/** One check. `timeout` is in milliseconds and covers the spawn. */
export const check = (
  plan: ExecPlan,
  timeout: number,
  spawner: Context.Tag.Service<typeof ProcessSpawner>,
): Effect.Effect<Passed, ProbeFailure> => {
  const { spec, target } = plan
  const command: ProcessSpec.Input["command"] =
    typeof spec.command === "string" ? ["/bin/sh", "-c", spec.command] : spec.command
  const env = { ...target.env, ...spec.env }
  const named = [...(target.mask ?? []), ...spec.mask]
  const redact = Mask.make(
    [
      ...named,
      ...Object.entries(spec.env)
        .filter(looksSecret)
        .map(([name]) => name),
    ],
    { ...variablesOf(target), ...spec.env },
  )
  const cwd = spec.cwd ?? target.cwd
  const subject = `The command ${Mask.formatCommand(command, redact)}`

  const fail = (failureClass: FailureClass, transient: boolean, reason: string) =>
    new ProbeFailure({
      kind: "exec",
      subject,
      reason: redact(reason),
      class: failureClass,
      transient,
      contact: "none",
    })
  const withOutput = (child: Process, reason: string): string => {
    // Masked before it is cut, so that no half of a secret is left at the edge.
    const said = redact(child.output.tail()).trim()
    const shown = said.length > outputCap ? `…${said.slice(-outputCap)}` : said
    return said === "" ? `${reason}, with no output` : `${reason}. Its output: ${shown}`
  }

  return Effect.scoped(
    Effect.gen(function* () {
      const start = yield* Clock.currentTimeNanos
      const child = yield* Effect.mapError(
        spawner.spawn({
          command,
          ...(cwd !== undefined && { cwd }),
          env,
          mask: named.filter((name) => name !== "" && !name.includes("=")),
          ...(target.unit !== undefined && { unit: target.unit }),
          // When the scope closes, whatever is left of the group has no say.
          stop: { signal: "KILL", grace: 0 },
        }),
        (error) =>
          new ProbeFailure({
            kind: "exec",
            subject: "",
            reason: redact(error.message),
            class: "error",
            transient: error._tag === "TooManyOpenFiles" || error._tag === "TooManyProcesses",
            contact: "none",
          }),
      )
      const spent = Number((yield* Clock.currentTimeNanos) - start) / 1e6
      const status = yield* Effect.timeoutOption(child.exit, Math.max(1, timeout - spent))
      if (Option.isNone(status)) {
        const within = Duration.format(Duration.millis(timeout))
        return yield* fail("timeout", true, withOutput(child, `did not end within ${within} and was killed`))
      }
      if (ExitStatus.isSuccess(status.value)) return { outputs: {}, peers: [] }
      yield* Effect.timeoutOption(child.output.ended, outputGrace)
      return yield* fail(
        "unhealthy",
        true,
        withOutput(child, `ended with ${ExitStatus.format(status.value)}`),
      )
    }),
  )
}
