/** The operating-system child behind a `Process`: how it is started, how it ends, how its pipes are closed. */
import { type ChildProcess, spawn } from "node:child_process"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type Attempt, diagnose } from "./Diagnosis.js"
import { Exited, type ExitStatus, Signaled } from "./ExitStatus.js"
import type { Hub, ProcessOutput } from "./ProcessOutput.js"
import type { ProcessSpec } from "./ProcessSpec.js"
import type { SpawnError } from "./SpawnError.js"
import * as Stdio from "./Stdio.js"

/** Tells a code from a signal as wait(2) does, as far as Node tells: see `ExitStatus`. */
const exitStatus = (code: number | null, signal: NodeJS.Signals | null): ExitStatus =>
  signal === null ? new Exited({ code: code ?? 0 }, true) : new Signaled({ signal }, true)

/** A child that the system has accepted. Made on the turn of its spawn, so that nothing of it is missed. */
export class Child {
  private status: ExitStatus | undefined
  private listener: ((status: ExitStatus) => void) | undefined

  constructor(
    readonly process: ChildProcess,
    readonly pid: number,
  ) {
    process.once("exit", (code, signal) => {
      this.status = exitStatus(code, signal)
      this.listener?.(this.status)
    })
  }

  /** Calls the one listener with the exit, at once if it has been. */
  onExit(listener: (status: ExitStatus) => void): void {
    if (this.status === undefined) this.listener = listener
    else listener(this.status)
  }

  /** Kills the whole group, if the child is not reaped yet: until then the group's id is nobody else's. */
  kill(): void {
    if (this.status !== undefined) return
    try {
      process.kill(-this.pid, "SIGKILL")
    } catch {
      // It has just ended.
    }
  }
}

const ignore = (): void => {}

/**
 * Starts the child at the head of a session and group of its own (setsid), so that a terminal's Ctrl-C reaches this
 * program and not the child, and begins to drain its output. Fails with what the system's refusal means.
 */
export const start = (spec: ProcessSpec, attempt: Attempt, output: Hub): Effect.Effect<Child, SpawnError> =>
  Effect.flatMap(Stdio.open(spec, attempt.redact), ({ close, stdio }) =>
    Effect.async<Child, SpawnError>((resume) => {
      const refuse = (cause: unknown): void => resume(Effect.fail(diagnose(attempt, cause)))
      try {
        const child = spawn(attempt.program, attempt.args, {
          cwd: attempt.cwd,
          env: attempt.env,
          stdio,
          detached: true,
        })
        // Without a listener an error would end this program; one that stays must not keep the environment alive.
        child.on("error", ignore)
        if (child.pid === undefined) {
          child.once("error", refuse)
        } else {
          Stdio.drain(child, output)
          Stdio.feed(child.stdin, spec)
          resume(Effect.succeed(new Child(child, child.pid)))
        }
      } catch (cause) {
        refuse(cause)
      } finally {
        close()
      }
    }),
  )

const outputPatience = Duration.seconds(1)

/**
 * To be called when every process of the group is gone: waits until what they wrote has been read. A pipe that is
 * still held open then, by a process that is not ours, is given up.
 */
export const closeOutput = (child: ChildProcess, output: ProcessOutput): Effect.Effect<void> =>
  Effect.suspend(() => {
    const pipes = [child.stdout, child.stderr].filter((pipe) => pipe !== null)
    child.stdin?.destroy()
    if (output.isEnded()) return Effect.void
    if (pipes.length === 0) return output.ended
    // A reader that asked for backpressure may have paused them.
    for (const pipe of pipes) pipe.resume()
    return Effect.timeoutOption(Effect.interruptible(output.ended), outputPatience).pipe(
      Effect.andThen(() => {
        for (const pipe of pipes) pipe.destroy()
      }),
    )
  })

/** Lets go of a child that could not be ended: this program must not be kept alive by it. */
export const abandon = ({ process: child }: Child, output: Hub): void => {
  child.stdin?.destroy()
  child.stdout?.destroy()
  child.stderr?.destroy()
  child.unref()
  output.end()
}
