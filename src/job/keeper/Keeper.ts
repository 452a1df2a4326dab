/**
 * What runs the jobs: a small process of its own, the parent of them all, that outlives this program. It forks in a
 * tenth of the time that Node needs, writes down each end by itself and rings a bell; a program that was killed and
 * started again reads what was written and hears the bell of the keepers that are still there.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import { constants } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { systemReason } from "../../process/Diagnosis.js"
import type { ProcessIdentity } from "../../process/ProcessIdentity.js"
import type { ProcessTable } from "../../process/ProcessTable.js"
import type { KeeperNews, StartRequest } from "./KeeperProtocol.js"
import * as KeeperProtocol from "./KeeperProtocol.js"
import * as NodeKeeper from "./NodeKeeper.js"
import * as PerlKeeper from "./PerlKeeper.js"

/** No keeper could be started. */
export class KeeperUnavailable extends Schema.TaggedError<KeeperUnavailable>()("KeeperUnavailable", {
  root: Schema.String,
  reason: Schema.String,
}) {
  readonly retryable = true
  override get message(): string {
    return `No job can be started under ${this.root}: its keeper cannot run (${this.reason}).`
  }
}

/** The programs that can be a keeper: `perl` is small and quick, `node` is there where Perl is not. */
export type KeeperProgram = "perl" | "node"

/** How to run keepers. */
export interface Options {
  readonly root: string
  /** Default: `perl` where it is installed, else `node`. */
  readonly program?: KeeperProgram | undefined
  /** The environment that jobs inherit. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** A running keeper. */
export interface Hand {
  readonly identity: ProcessIdentity
  /**
   * Asks it to start a process. What comes of it is told by `news`, and noted in the attempt's files. To a keeper that
   * has died meanwhile it is lost.
   */
  readonly start: (request: StartRequest) => void
}

/** Starts processes that outlive this program, and hears how they end. */
export interface Keeper {
  /** A keeper; a new one when there is none. */
  readonly hand: Effect.Effect<Hand, KeeperUnavailable>
  /** Listens anew if somebody has taken the bell away. */
  readonly renewBell: Effect.Effect<void>
  /** What this keeper, and those of earlier programs on the same root, have to tell. */
  readonly news: Mailbox.ReadonlyMailbox<KeeperNews>
}

const bellName = "bell"

const makeBell = async (path: string): Promise<void> => {
  const found = fs.statSync(path, { throwIfNoEntry: false })
  if (found?.isFIFO() === true) return
  if (found !== undefined) fs.renameSync(path, `${path}.set-aside-${Date.now()}`)
  await promisify(execFile)("mkfifo", ["-m", "600", path])
}

/** Who listens, and to which FIFO. */
interface Ear {
  readonly socket: net.Socket
  readonly inode: number
}

/** Calls `onLine` for each line that comes through the FIFO, until it is destroyed. */
const listen = (path: string, onLine: (line: string) => void): Ear => {
  // For writing too, so that there is no end of file when a keeper hangs up.
  const descriptor = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_NONBLOCK)
  const socket = new net.Socket({ fd: descriptor, readable: true, writable: false })
  let unfinished = ""
  socket.setEncoding("latin1")
  socket.on("data", (text: string) => {
    const lines = (unfinished + text).split("\n")
    unfinished = lines.pop()!
    for (const line of lines) onLine(line)
  })
  socket.on("error", () => {})
  return { socket, inode: fs.fstatSync(descriptor).ino }
}

const hasPerl = async (): Promise<boolean> => {
  try {
    await promisify(execFile)("perl", ["-MPOSIX", "-MFcntl", "-e", "1"])
    return true
  } catch {
    return false
  }
}

const isForPerl = (name: string): boolean => name.startsWith("PERL")

/** So long a keeper lives at least that is any good, in milliseconds. */
const shortestLife = 1_000

/** None of our marks: what ends this program and all it spawned must leave the jobs alone. */
const outerMarks: ReadonlySet<string> = new Set([
  "HOLDFAST_OWNER",
  "HOLDFAST_LINEAGE",
  "HOLDFAST_UNIT",
  "HOLDFAST_JOB",
])

const environment = (env: Options["env"]): Record<string, string> =>
  Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && !outerMarks.has(entry[0]),
    ),
  )

/** Runs keepers for a root, which one program does at a time. Closing the scope leaves the jobs running. */
export const make = (
  { env, program, root }: Options,
  table: Context.Tag.Service<ProcessTable>,
): Effect.Effect<Keeper, KeeperUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const unavailable = (cause: unknown) => new KeeperUnavailable({ root, reason: systemReason(cause) })
    const bell = join(root, bellName)
    yield* Effect.tryPromise({ try: () => makeBell(bell), catch: unavailable })
    const news = yield* Mailbox.make<KeeperNews>()
    const hear = (line: string): void => {
      const heard = KeeperProtocol.decode(line)
      if (heard !== undefined) news.unsafeOffer(heard)
    }
    let ear: Ear = yield* Effect.acquireRelease(
      Effect.try({ try: () => listen(bell, hear), catch: unavailable }),
      () => Effect.sync(() => ear.socket.destroy()),
    )
    const renewBell = Effect.tryPromise({
      try: async () => {
        const found = fs.statSync(bell, { throwIfNoEntry: false })
        if (found?.isFIFO() === true && found.ino === ear.inode) return
        await makeBell(bell)
        ear.socket.destroy()
        ear = listen(bell, hear)
      },
      catch: unavailable,
    }).pipe(Effect.catchAll((error) => Effect.logWarning(error.message)))
    let kind = program ?? ((yield* Effect.promise(hasPerl)) ? "perl" : "node")
    const inherited = environment(env)
    // They would change the language that the keeper is written in. Jobs get them all the same.
    const withheld = Object.fromEntries(Object.entries(inherited).filter(([name]) => isForPerl(name)))
    const own = Object.fromEntries(Object.entries(inherited).filter(([name]) => !isForPerl(name)))
    let failures = 0

    let isClosed = false
    const runtime = yield* Effect.runtime()
    const warn = (message: string) => void Runtime.runFork(runtime)(Effect.logWarning(message))
    let current: (Hand & { readonly child: ChildProcess }) | undefined
    const launch = Effect.gen(function* () {
      const [file, args] =
        kind === "perl"
          ? ["perl", ["-e", PerlKeeper.script, root, bell, String(constants.signals.SIGIO)]]
          : [process.execPath, ["-e", NodeKeeper.script, root, bell]]
      const child = yield* Effect.async<ChildProcess, KeeperUnavailable>((resume) => {
        const child = spawn(file, args as Array<string>, {
          cwd: root,
          detached: true,
          env: own,
          stdio: ["pipe", "ignore", "ignore"],
        })
        child.once("error", (cause) => resume(Effect.fail(unavailable(cause))))
        child.once("spawn", () => resume(Effect.succeed(child)))
      })
      child.unref()
      ;(child.stdin as unknown as { unref: () => void }).unref()
      child.on("error", () => {})
      child.stdin!.on("error", () => {})
      const startedAt = performance.now()
      child.once("exit", (code, signal) => {
        if (current?.child !== child) return
        current = undefined
        if (isClosed) return
        failures = performance.now() - startedAt < shortestLife ? failures + 1 : 0
        if (failures >= 2 && program === undefined) kind = "node"
        warn(
          `The keeper of jobs (pid ${child.pid}) has ended: ${signal ?? `exit code ${code}`}. Another one follows.`,
        )
      })
      const identity = yield* Effect.mapError(table.identifyChild(child.pid!), unavailable)
      const start = (request: StartRequest) => {
        const env = request.inheritEnv ? { ...withheld, ...request.env } : request.env
        child.stdin!.write(KeeperProtocol.encode({ ...request, env }))
      }
      current = { child, identity, start }
      return current
    })
    const alone = (yield* Effect.makeSemaphore(1)).withPermits(1)
    const ready = Effect.suspend(() =>
      current === undefined
        ? alone(Effect.suspend(() => (current === undefined ? launch : Effect.succeed(current))))
        : Effect.succeed(current),
    )
    // It goes on until the last of its processes has ended.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        isClosed = true
        current?.child.stdin!.end()
      }),
    )

    return {
      hand: ready,
      renewBell,
      news,
    }
  })
