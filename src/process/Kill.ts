/** kill(2) for what has been shown to be ours, and how what is signalled is shown. */
import type * as Context from "effect/Context"
import type { Redact } from "./Mask.js"
import type { Member, ProcessTable } from "./ProcessTable.js"
import type { Signal } from "./Signal.js"

/** What came of it. */
export type Sent = "sent" | "gone" | "refused"

/** kill(2), never with a pid that means "everything" or "my own group". */
export const kill = (target: number, signal: Signal | 0, ownGroup: number): Sent => {
  const id = Math.abs(target)
  if (!Number.isInteger(target) || id <= 1 || id === process.pid || id === ownGroup) return "refused"
  try {
    process.kill(target, signal)
    return "sent"
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "ESRCH" ? "gone" : "refused"
  }
}

/** Long command lines are cut for people, after masked values have been replaced. */
export const cut = (command: string): string => (command.length > 200 ? `${command.slice(0, 200)}…` : command)

/** Members as they may be shown. */
export const shown = (found: ReadonlyArray<Member>, redact: Redact): ReadonlyArray<Member> =>
  found.map((member) => ({ ...member, command: cut(redact(member.command)) }))

/** Signals those outside their group one by one; answers whom it reached. */
export const killEscapees = (
  table: Context.Tag.Service<ProcessTable>,
  signal: Signal,
  found: ReadonlyArray<Member>,
): ReadonlyArray<Member> =>
  found.filter(
    (member) =>
      !member.inGroup &&
      member.proven &&
      table.isStill(member) &&
      kill(member.pid, signal, table.ownGroup) === "sent",
  )
