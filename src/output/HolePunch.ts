/**
 * Gives the blocks of a part of a file back to the file system, while others write to it. Node has no call for that;
 * `fallocate` of util-linux makes it, which every Linux distribution has.
 */
import { execFile } from "node:child_process"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { codeOf } from "../process/Diagnosis.js"

/** The blocks are still there. Nothing is lost. */
export class NotPunched extends Data.TaggedError("NotPunched")<{
  readonly path: string
  readonly reason: string
  /** Whether it will not work next time either: the file system has no holes, or the program is missing. */
  readonly isForGood: boolean
}> {
  override get message(): string {
    return `No space of "${this.path}" could be given back to the file system: ${this.reason}.`
  }
}

/** What file systems count in; a hole that is not made of whole ones leaves their rest in place. In bytes. */
export const blockSize = 4_096

/** In ms. The call itself takes less than one; a disk may hang. */
const timeLimit = 10_000

const faultOf = (path: string, error: Error, stderr: string): NotPunched => {
  const fault = (reason: string, isForGood: boolean) => new NotPunched({ path, reason, isForGood })
  if (codeOf(error) === "ENOENT") return fault("the program fallocate (of util-linux) is not installed", true)
  if ("killed" in error && error.killed === true)
    return fault(`it took more than ${timeLimit / 1_000} s`, false)
  const [first = ""] = stderr.trim().split("\n")
  const reason = first === "" ? error.message : first.replace(/^fallocate: (?:fallocate failed: )?/, "")
  return fault(reason, /not supported|not implemented|unrecognized option|usage/i.test(stderr))
}

/**
 * Makes a hole of `length` bytes at `offset`: they read as zeros afterwards, and need no space. The file keeps its size.
 * Works on ext4, xfs, btrfs, tmpfs and some more, on Linux; takes 10 s at most.
 */
export const punch = (path: string, offset: number, length: number): Effect.Effect<void, NotPunched> =>
  Effect.async((resume) => {
    const child = execFile(
      "fallocate",
      ["--punch-hole", "--offset", String(offset), "--length", String(length), path],
      { timeout: timeLimit, killSignal: "SIGKILL", env: { PATH: process.env["PATH"], LC_ALL: "C" } },
      (error, _stdout, stderr) =>
        resume(error === null ? Effect.void : Effect.fail(faultOf(path, error, stderr))),
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })
