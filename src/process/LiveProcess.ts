/** The handle of a process that this program has spawned. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Child from "./Child.js"
import type { Guardian } from "./Guardian.js"
import type { Process, StopOptions, StopReport } from "./Process.js"
import type { ProcessGroup } from "./ProcessGroup.js"
import type { Hub } from "./ProcessOutput.js"
import type { ProcessSpec } from "./ProcessSpec.js"
import type { ProcessTable } from "./ProcessTable.js"
import type { Signal } from "./Signal.js"
import * as Stdio from "./Stdio.js"
import * as Tracing from "./Tracing.js"

/** What every process of one spawner shares. */
export interface Services {
  readonly table: Context.Tag.Service<ProcessTable>
  readonly guardian: Context.Tag.Service<Guardian>
}

/**
 * A class, and made of few parts, as there is one for each of maybe thousands of processes; it must not keep their
 * environments alive.
 */
export class LiveProcess implements Process {
  constructor(
    private readonly services: Services,
    private readonly child: Child.Child,
    private readonly group: ProcessGroup,
    readonly output: Hub,
    readonly spec: ProcessSpec,
    readonly command: string,
    readonly redact: (text: string) => string,
  ) {
    const { guardian, table } = services
    const { leader } = group
    guardian.watch(leader)
    table.setOwn(leader.pid, true)
    child.onExit((status) => {
      table.setOwn(leader.pid, false)
      const endedAt = group.leaderEnded(status)
      if (group.isEmpty()) guardian.unwatch(leader)
      else guardian.leaderEnded(leader, endedAt)
    })
  }

  get pid() {
    return this.child.pid
  }

  get identity() {
    return this.group.leader
  }

  get mark() {
    return this.group.mark
  }

  get exit() {
    return this.group.ended
  }

  get members() {
    return this.group.members
  }

  get endInput() {
    return Stdio.end(this.pipe)
  }

  readonly exitNow = () => this.group.endedAs()

  readonly write = (bytes: Uint8Array | string) => Stdio.writeTo(this.pid, this.pipe, bytes)

  readonly signal = (signal: Signal) => this.group.signal(signal)

  readonly stop = (options?: StopOptions) =>
    Tracing.withSpan(this.stopAndLetGo(options), "Process.stop", () => ({
      pid: this.pid,
      command: this.command,
    }))

  /** What a log shows of it: nothing of its environment. */
  toJSON() {
    return { _id: "Process", pid: this.pid, command: this.command, exit: this.exitNow() }
  }

  [Inspectable.NodeInspectSymbol]() {
    return this.toJSON()
  }

  /** A stop, and when nothing survived it the end of all that was held for the process. */
  stopAndLetGo(options: StopOptions = {}): Effect.Effect<StopReport> {
    return Effect.tap(this.group.stop({ ...this.spec.stop, ...options }), ({ survivors }) => {
      if (survivors.length > 0) return Effect.void
      this.services.guardian.unwatch(this.group.leader)
      return Child.closeOutput(this.child.process, this.output)
    })
  }

  /** Nobody will stop it any more: this program must not wait for it. */
  abandon(): void {
    Child.abandon(this.child, this.output)
  }

  private get pipe() {
    return this.spec.stdin === "pipe" ? this.child.process.stdin : null
  }
}

/** What the closing of its scope does to a process. Survivors are logged: nobody is left to read a report. */
export const release = (process: LiveProcess): Effect.Effect<void> =>
  Effect.flatMap(process.stopAndLetGo(), ({ survivors }) => {
    if (survivors.length === 0) return Effect.void
    process.abandon()
    const list = survivors.map(({ command, pid }) => `${pid} ${command}`).join(", ")
    return Effect.logError(
      `${process.command} (pid ${process.pid}) was stopped, but processes of it survived: ${list}`,
    )
  })
