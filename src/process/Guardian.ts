/**
 * What kills everything scoped when this program dies without a chance to do so itself (KILL, a crash, out of
 * memory). A small shell process holds the reading end of a pipe from this program and knows the groups that are
 * alive; end-of-file is the signal. It kills the groups at once, then whatever still carries this program's owner id
 * in its environment, again and again until nothing does.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { script } from "./GuardianScript.js"
import type { ProcessIdentity } from "./ProcessIdentity.js"

/** Stands watch over process groups. */
export class Guardian extends Context.Tag("holdfast/process/Guardian")<
  Guardian,
  {
    /**
     * Makes sure that a guardian is there; fails with the system's error when none can be started, and is interrupted
     * once the layer closes.
     */
    readonly ensure: Effect.Effect<void, Error>
    /** From now on the group of this leader dies with the program. */
    readonly watch: (leader: ProcessIdentity) => void
    /** The leader has ended, at that time by `ProcessTable.endOf`; its group has not. */
    readonly leaderEnded: (leader: ProcessIdentity, endedAt: string) => void
    /** The group is empty: its id may be handed out again. */
    readonly unwatch: (leader: ProcessIdentity) => void
    /** The guardian's pid, once there is one. */
    readonly pid: () => number | undefined
  }
>() {}

/** How long a guardian may take to end when it is told to; one that was stopped (SIGSTOP) never does. */
const quitMillis = 500

/** Until another one is tried when none could be started. */
const retryMillis = 200

/** The shell process, and what it has to know. */
class Shell {
  private child: ChildProcess | undefined
  private closing = false
  /** The last line about each group, to tell a new guardian. */
  private readonly groups = new Map<number, string>()
  private unsent = ""

  constructor(private readonly owner: string) {}

  get pid(): number | undefined {
    return this.child?.pid
  }

  get ensure(): Effect.Effect<void, Error> {
    return Effect.suspend(() => {
      if (this.closing) return Effect.interrupt
      if (this.child !== undefined) return Effect.void
      return Effect.async<void, Error>((resume) => {
        this.start((failure) => resume(failure === undefined ? Effect.void : Effect.fail(failure)))
      })
    })
  }

  /** Sets or, without a line, drops what is known about a group. */
  tell(pid: number, line: string | undefined): void {
    if (line !== undefined) {
      this.groups.set(pid, line)
      this.send(line)
    } else if (this.groups.delete(pid)) {
      this.send(`- ${pid}`)
    }
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.closing = true
      this.flush()
      const { child } = this
      if (child === undefined) return resolve()
      child.ref()
      const impatience = setTimeout(() => child.kill("SIGKILL"), quitMillis)
      child.once("exit", () => {
        clearTimeout(impatience)
        resolve()
      })
      child.stdin!.end("q\n")
    })
  }

  private send(line: string): void {
    // Many spawns and ends of one turn go out in one write.
    if (this.unsent === "") setImmediate(() => this.flush())
    this.unsent += `${line}\n`
  }

  private flush(): void {
    const text = this.unsent
    this.unsent = ""
    if (text !== "") this.child?.stdin!.write(text)
  }

  private start(answer: (failure?: Error) => void): void {
    let child: ChildProcess
    try {
      child = spawn("/bin/sh", ["-c", script, "holdfast-guardian"], {
        cwd: "/",
        detached: true,
        // None of our marks: an outer Holdfast that ends us must leave the guardian to do its work. The system's own
        // programs first: the user's PATH may hold others of the same names. Times as MacProcessTable reads them.
        env: { PATH: `/usr/bin:/bin:${process.env.PATH ?? ""}`, LC_ALL: "C", TZ: "UTC" },
        stdio: ["pipe", "ignore", "ignore"],
      })
    } catch (cause) {
      return answer(cause as Error)
    }
    // Without a listener an error would end this program.
    child.on("error", () => {})
    if (child.pid === undefined) {
      child.once("error", answer)
      return
    }
    this.child = child
    child.unref()
    child.stdin!.on("error", () => {})
    ;(child.stdin as unknown as { unref: () => void }).unref()
    child.once("exit", () => {
      if (this.child !== child) return
      this.child = undefined
      this.replace()
    })
    child.stdin!.write([this.owner, ...this.groups.values(), ""].join("\n"))
    answer()
  }

  /** Somebody ended it. While there is something to guard there has to be another. */
  private replace(): void {
    if (this.closing || this.child !== undefined || this.groups.size === 0) return
    this.start((failure) => {
      if (failure !== undefined) setTimeout(() => this.replace(), retryMillis).unref()
    })
  }
}

/** As one word: a macOS time has spaces. */
const word = (time: string): string => time.replaceAll(" ", "_")

/** A guardian for the program run with this owner id. It ends when the layer is closed, touching nothing. */
export const layer = (owner: string): Layer.Layer<Guardian> =>
  Layer.scoped(
    Guardian,
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => new Shell(owner)),
        (shell) => Effect.promise(() => shell.close()),
      ),
      (shell) => ({
        ensure: shell.ensure,
        watch: ({ pid, startTime }) => shell.tell(pid, `+ ${pid} ${word(startTime)}`),
        leaderEnded: ({ pid }, endedAt) => shell.tell(pid, `e ${pid} ${word(endedAt)}`),
        unwatch: ({ pid }) => shell.tell(pid, undefined),
        pid: () => shell.pid,
      }),
    ),
  )
