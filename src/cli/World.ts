/** Everything a command sees of the world around it, so that it can be run in a test as it is run by a user. */
import * as path from "node:path"
import type { Routes } from "./Routes.js"

/** Where text goes: data to standard output, words to standard error. */
export interface Sink {
  /** Resolves when there is room for more. */
  readonly write: (data: string | Uint8Array) => Promise<void>
  /**
   * From now on nothing that happens to it ends the program or holds it up: what cannot be written is dropped. `note` is
   * written before what can be written again; default nothing.
   */
  readonly endure: (note?: (dropped: number) => string) => void
  /**
   * After `endure`, for those who keep what cannot be written yet: resolves once the system has taken it, however long
   * that takes, to true; to false when it cannot be written.
   */
  readonly offer: (data: string | Uint8Array) => Promise<boolean>
  /** After `endure`: resolves to whether all was written or dropped within so many milliseconds. */
  readonly settled: (millis: number) => Promise<boolean>
  readonly isTerminal: boolean
  /** Characters in a line of the terminal; Infinity where there is none. */
  readonly columns: () => number
}

/** What a command knows and can do. */
export interface World {
  readonly version: string
  readonly platform: NodeJS.Platform
  readonly env: Readonly<Record<string, string | undefined>>
  /** The directory it was called in. */
  readonly cwd: string
  readonly out: Sink
  readonly err: Sink
  /** All of the standard input. */
  readonly input: () => Promise<Uint8Array>
  /** How this program is started: Node and its file. */
  readonly program: readonly [node: string, file: string]
  /** Where each call of the API goes. */
  readonly routes: Routes
  /** Calls back at one of these, in place of dying by it, until the returned function is called. */
  readonly onSignal: (signals: ReadonlyArray<NodeJS.Signals>, listener: () => void) => () => void
  /** Whether one of its standard streams is a terminal, whose end it is told of by HUP. */
  readonly isInTerminal: () => boolean
  /** Whether it has no terminal, or none any more. */
  readonly hasNoTerminal: () => boolean
  /** Ends the program at once. */
  readonly exit: (code: number) => void
}

/**
 * How a person calls this program here: by its name where it is installed, else as the file that Node runs.
 *
 * @param called the path that Node was given: the link `holdfast`, or the file itself
 */
export const calledAs = (called: string, cwd: string): string => {
  if (path.basename(called) === "holdfast") return "holdfast"
  const relative = path.relative(cwd, called)
  return `node ${relative.startsWith("..") ? called : relative}`
}

/** The exit codes that the program gives by itself. */
export const exitCode = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const

/** Something that a person has to be told in one sentence: exit code 1. */
export class Failure extends Error {
  override readonly name: string = "Failure"
  constructor(
    message: string,
    /** The code of the error's envelope, for those who read JSON. */
    readonly code: string = "failed",
    readonly retryable: boolean = false,
  ) {
    super(message)
  }
}

/**
 * Whether an error is one of these. Told by what it has: the daemon's file has a class of its own, made of the same
 * text.
 */
export const isFailure = (error: unknown): error is Failure =>
  error instanceof Error && "code" in error && "retryable" in error && typeof error.retryable === "boolean"

/** As {@link printable}, line by line. */
export const printableLines = (text: string): string => text.split("\n").map(printable).join("\n")

/** Text that came from elsewhere as one line without control characters, which a terminal would obey. */
export const printable = (text: string): string =>
  // oxlint-disable-next-line no-control-regex
  text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, (found) =>
    /^[\s]+$/.test(found) ? " " : "\uFFFD",
  )
