/** What the end of a job means for the program that waited for it. */
import { constants } from "node:os"
import type { Ending } from "./Format.js"
import { exitCode } from "./World.js"

/** What is known of an end. */
export interface Result extends Ending {
  readonly error?: string | undefined
  readonly reason?: string | undefined
}

/** As shells have it. */
const notStarted: ReadonlyMap<string | undefined, number> = new Map([
  ["CommandNotFound", 127],
  ["NotExecutable", 126],
])

/**
 * The exit code of a shell for the same end: the job's own, 128 + N for signal N, 127 and 126 for a command that was
 * not found or could not be executed, 1 for what cannot be known.
 */
export const codeOf = ({ cause, error, exit_code, signal }: Result): number => {
  if (exit_code !== undefined) return exit_code
  if (signal !== undefined) {
    const numbers: Readonly<Record<string, number>> = constants.signals
    return 128 + (numbers[signal] ?? 0)
  }
  if (cause !== "spawn-error") return exitCode.failed
  return notStarted.get(error) ?? exitCode.failed
}

/** Whether a job of that state has ended. */
export const isOver = (state: string): boolean =>
  state === "exited" || state === "killed" || state === "failed" || state === "lost"

/** A sentence about an end that is worth one: what was not an exit by itself. */
export const sentenceOf = (id: string, { cause, reason, signal, state }: Result): string | undefined => {
  if (cause === "timeout") return `Job ${id} ran into its timeout.`
  if (cause === "log-limit") return `Job ${id} was stopped: it wrote more than its log may have.`
  if (cause === "stopped") return `Job ${id} was stopped.`
  if (state === "killed") return `Job ${id} was ended by ${signal ?? "a signal"}.`
  if (state === "failed" || state === "lost")
    return `Job ${id} ${state === "lost" ? "is lost" : "failed"}: ${reason ?? cause ?? ""}`
  return undefined
}
