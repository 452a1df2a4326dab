/** The three standard streams of a process, as its spec asks for them. */
import type { ChildProcess, StdioOptions } from "node:child_process"
import { closeSync, constants, openSync, type Stats, statSync } from "node:fs"
import { resolve } from "node:path"
import type { Writable } from "node:stream"
import * as Effect from "effect/Effect"
import { systemReason } from "./Diagnosis.js"
import type { Redact } from "./Mask.js"
import { StdinClosed } from "./Process.js"
import type { Hub } from "./ProcessOutput.js"
import type { OutputTarget, ProcessSpec } from "./ProcessSpec.js"
import { FileUnusable } from "./SpawnError.js"

/** What `child_process.spawn` takes, and the descriptors to close once it has taken them. */
export interface Opened {
  readonly stdio: StdioOptions
  readonly close: () => void
}

// O_NOCTTY: a terminal given as a file must not become this program's. O_APPEND in both: the two outputs of a process
// may go to one file.
const write = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOCTTY
const appendFlags = write
const replaceFlags = write | constants.O_TRUNC
const readFlags = constants.O_RDONLY | constants.O_NOCTTY

/** What a descriptor for a process can be opened from. Opening a FIFO that nobody reads would stop this program. */
const isUsable = (stat: Stats | undefined): boolean =>
  stat === undefined || stat.isFile() || stat.isCharacterDevice()

/** Opens the files that the spec names, relative ones in its `cwd`. They are closed again when one of them fails. */
export const open = (spec: ProcessSpec, redact: Redact): Effect.Effect<Opened, FileUnusable> =>
  Effect.suspend(() => {
    const descriptors: Array<number> = []
    const close = (): void => {
      for (const descriptor of descriptors.splice(0)) closeSync(descriptor)
    }
    const openFile = (field: string, file: string, flags: number): number => {
      const path = resolve(spec.cwd ?? ".", file)
      const unusable = (reason: string) =>
        new FileUnusable({ field, path: redact(path), reason: redact(reason) })
      try {
        if (!isUsable(statSync(path, { throwIfNoEntry: false }))) {
          throw unusable("it is neither a regular file nor a device")
        }
        const descriptor = openSync(path, flags, 0o644)
        descriptors.push(descriptor)
        return descriptor
      } catch (cause) {
        throw cause instanceof FileUnusable ? cause : unusable(systemReason(cause))
      }
    }
    const target = (field: string, where: OutputTarget) =>
      where === "pipe"
        ? "pipe"
        : where === "null"
          ? "ignore"
          : openFile(field, where.file, where.append ? appendFlags : replaceFlags)
    try {
      const input =
        spec.stdin === "null"
          ? "ignore"
          : spec.stdin === "pipe" || "bytes" in spec.stdin
            ? "pipe"
            : openFile("stdin", spec.stdin.file, readFlags)
      const stdio: StdioOptions = [input, target("stdout", spec.stdout), target("stderr", spec.stderr)]
      return Effect.succeed({ stdio, close })
    } catch (cause) {
      close()
      return cause instanceof FileUnusable ? Effect.fail(cause) : Effect.die(cause)
    }
  })

/** Drains the outputs that are pipes into `hub`, which ends with the last of them. */
export const drain = (child: ChildProcess, hub: Hub): void => {
  const { stderr, stdout } = child
  for (const [source, pipe] of [
    ["stdout", stdout],
    ["stderr", stderr],
  ] as const) {
    pipe?.on("data", (bytes: Uint8Array) => hub.offer(source, bytes))
    // A pipe that breaks has ended; the exit tells the rest.
    pipe?.on("error", () => {})
  }
  hub.onPressure((full) => {
    for (const pipe of [stdout, stderr]) {
      if (full) pipe?.pause()
      else pipe?.resume()
    }
  })
  child.once("close", () => hub.end())
}

/** Starts what a spec says about a `stdin` that is a pipe. */
export const feed = (stdin: Writable | null, spec: ProcessSpec): void => {
  // Closed early by the process: its business. A writer is told by its write.
  stdin?.on("error", () => {})
  if (typeof spec.stdin === "object" && "bytes" in spec.stdin) stdin?.end(spec.stdin.bytes)
}

/** Writes to a `stdin` that is a pipe. */
export const writeTo = (
  pid: number,
  pipe: Writable | null,
  bytes: Uint8Array | string,
): Effect.Effect<void, StdinClosed> =>
  Effect.async((resume) => {
    const fail = (reason: string): void => resume(Effect.fail(new StdinClosed({ pid, reason })))
    if (pipe === null) return fail('its spec does not say stdin: "pipe"')
    if (!pipe.writable) return fail("it is closed")
    pipe.write(bytes, (cause) =>
      cause === null || cause === undefined ? resume(Effect.void) : fail(systemReason(cause)),
    )
  })

/** Ends a `stdin` that is a pipe. */
export const end = (pipe: Writable | null): Effect.Effect<void> =>
  Effect.async((resume) => {
    if (pipe === null || !pipe.writable) return resume(Effect.void)
    pipe.end(() => resume(Effect.void))
  })
