/** One process that lives in memory, and its children. See `MemorySpawner`. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import { Exited, type ExitStatus, Signaled } from "./ExitStatus.js"
import * as Mask from "./Mask.js"
import { type Process, StdinClosed, type StopOptions, type StopReport } from "./Process.js"
import { ProcessIdentity } from "./ProcessIdentity.js"
import type { Hub, Source } from "./ProcessOutput.js"
import * as ProcessSpec from "./ProcessSpec.js"
import type { Member } from "./ProcessTable.js"
import type { Signal } from "./Signal.js"
import * as Stopping from "./Stopping.js"

/** How a process ends: with an exit code, or by a signal. */
export type Ending = number | Signal

/** How a process takes signals. */
interface Manners {
  /** Signals that do nothing to it. STOP and KILL cannot be ignored. Default: none. */
  readonly ignores?: ReadonlyArray<Signal>
  /** Whether no signal ends it, not even KILL, as one that waits for a broken disk. Default false. */
  readonly survivesKill?: boolean
}

/** A process that a process has started. It lives until a signal ends it, whatever becomes of the one that started it. */
export interface Child extends Manners {
  /** Whether it has left the group, as after `setsid`. Default false. */
  readonly escaped?: boolean
}

/** What a process does. */
export interface Program extends Manners {
  /** What it does until it ends by itself, and how it ends then. Default: it runs until it is stopped. */
  readonly run?: (self: MemoryProcess) => Effect.Effect<Ending>
  /**
   * What it does about a signal that it does not ignore: how it ends, or undefined if it goes on. Default: the signal ends
   * it. Never asked about KILL, STOP and CONT.
   */
  readonly onSignal?: (signal: Signal, self: MemoryProcess) => Effect.Effect<Ending | undefined>
  /** Processes that it has started. */
  readonly children?: ReadonlyArray<Child>
}

/** What a process is made of besides its program. */
interface About {
  readonly index: number
  readonly spec: ProcessSpec.ProcessSpec
  readonly env: Readonly<Mask.Variables>
  readonly mark: string
  readonly output: Hub
  /** Of whoever spawned it: its clock. */
  readonly runtime: Runtime.Runtime<never>
}

/** No system has pids this high. */
const firstPid = 1_000_000_000

/** No process has more children. */
const pidsEach = 1_000

/** Signals that end nothing, unless a program says so. */
const harmless: ReadonlySet<Signal> = new Set(["SIGCHLD", "SIGURG", "SIGWINCH", "SIGIO", "SIGCONT"])

/** Signals that stop a process, and are not told to it. */
const stops: ReadonlySet<Signal> = new Set(["SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU"])

const statusOf = (ending: Ending): ExitStatus =>
  typeof ending === "number" ? new Exited({ code: ending }) : new Signaled({ signal: ending })

const encoder = new TextEncoder()

/** A process in memory, as whoever spawned it has it, and as a test holds it in its hand. */
export class MemoryProcess implements Process, Stopping.Target {
  readonly pid: number
  readonly identity: ProcessIdentity
  readonly mark: string
  readonly spec: ProcessSpec.ProcessSpec
  readonly env: Readonly<Mask.Variables>
  readonly command: string
  readonly redact: Mask.Redact
  readonly output: Hub
  private readonly received: Array<Signal> = []
  private readonly exited = Deferred.unsafeMake<ExitStatus>(FiberId.none)
  private readonly fibers = new Set<Fiber.RuntimeFiber<unknown>>()
  private status: ExitStatus | undefined
  private children: ReadonlyArray<Child & { readonly pid: number }>
  /** Signals that wait for CONT; undefined while it is not stopped. */
  private held: Array<Signal> | undefined
  private stopping: Stopping.Stopping | undefined
  private written = ""
  private isInputOpen: boolean

  constructor(
    private readonly program: Program,
    private readonly about: About,
    private readonly isOver: () => boolean,
  ) {
    const { env, index, mark, output, spec } = about
    this.pid = firstPid + index * pidsEach
    this.identity = new ProcessIdentity({ pid: this.pid, startTime: String(index), bootId: "memory" })
    this.mark = mark
    this.env = env
    this.redact = Mask.make(spec.mask, env)
    this.command = Mask.formatCommand(spec.command, this.redact)
    this.spec = ProcessSpec.redacted(spec, this.redact)
    this.output = output
    this.children = (program.children ?? []).map((child, at) => ({ ...child, pid: this.pid + 1 + at }))
    this.isInputOpen = spec.stdin === "pipe"
  }

  /** Lets it run: once. It ends when its spawn has been answered, at the earliest. */
  begin(): void {
    const { run } = this.program
    if (run === undefined) return
    this.fork(
      Effect.yieldNow().pipe(
        Effect.andThen(() => run(this)),
        Effect.flatMap((ending) => this.end(ending)),
      ),
    )
  }

  /** Ends it now. What has ended stays as it is. */
  readonly end = (ending: Ending): Effect.Effect<void> => Effect.sync(() => this.leave(statusOf(ending)))

  /** Writes a line. */
  readonly print = (line: string, source: Source = "stdout"): Effect.Effect<void> =>
    this.emit(`${line}\n`, source)

  /** Writes a text as it stands, which may be a part of a line. */
  readonly emit = (text: string, source: Source = "stdout"): Effect.Effect<void> =>
    Effect.sync(() => {
      if (this.status === undefined && this.about.spec[source] === "pipe")
        this.output.offer(source, encoder.encode(text))
    })

  /** The signals that it got, in order. */
  readonly signals = (): ReadonlyArray<Signal> => this.received

  /** What was written to its standard input. */
  readonly input = (): string => this.written

  /** Whether STOP has stopped it. Signals other than KILL then wait for CONT; what its program does goes on. */
  readonly isSuspended = (): boolean => this.held !== undefined

  /** Whether nothing of it is left, its children among it. */
  readonly isEmpty = (): boolean => this.status !== undefined && this.children.length === 0

  /** Lets everything of it be gone, whatever its program says. */
  vanish(): void {
    this.children = []
    this.leave(statusOf("SIGKILL"))
  }

  get exit(): Effect.Effect<ExitStatus> {
    return Deferred.await(this.exited)
  }

  get ended(): Effect.Effect<ExitStatus> {
    return this.exit
  }

  readonly exitNow = (): ExitStatus | undefined => this.status

  readonly hasEnded = (): boolean => this.status !== undefined

  readonly write = (bytes: Uint8Array | string): Effect.Effect<void, StdinClosed> =>
    Effect.suspend(() => {
      const { pid } = this
      if (this.spec.stdin !== "pipe")
        return new StdinClosed({ pid, reason: 'its spec does not say stdin: "pipe"' })
      if (!this.isInputOpen) return new StdinClosed({ pid, reason: "it is closed" })
      this.written += typeof bytes === "string" ? bytes : new TextDecoder().decode(bytes)
      return Effect.void
    })

  readonly endInput: Effect.Effect<void> = Effect.sync(() => {
    this.isInputOpen = false
  })

  get members(): Effect.Effect<ReadonlyArray<Member>> {
    return Effect.sync(() => {
      const { command, identity, pid } = this
      const known = { groupId: pid, startTime: identity.startTime, command, proven: true }
      const leader = { ...known, pid, parentPid: process.pid, inGroup: true }
      return [
        ...(this.status === undefined ? [leader] : []),
        ...this.children.map((child) => ({
          ...known,
          pid: child.pid,
          parentPid: this.status === undefined ? pid : 1,
          groupId: child.escaped === true ? child.pid : pid,
          inGroup: child.escaped !== true,
        })),
      ]
    })
  }

  readonly signal = (signal: Signal): Effect.Effect<boolean> =>
    Effect.map(this.members, (found) => {
      const group = this.signalGroup(signal, found)
      return this.signalEscapees(signal, found).length > 0 || group
    })

  signalGroup(signal: Signal, _found: ReadonlyArray<Member>): boolean {
    const isThere = this.status === undefined || this.children.some(({ escaped }) => escaped !== true)
    this.strike(signal)
    this.children = this.children.filter((child) => child.escaped === true || !this.endsBy(child, signal))
    this.endOutput()
    return isThere
  }

  signalEscapees(signal: Signal, found: ReadonlyArray<Member>): ReadonlyArray<Member> {
    const reached = found.filter(
      ({ inGroup, pid }) => !inGroup && this.children.some((child) => child.pid === pid),
    )
    const pids = new Set(reached.map(({ pid }) => pid))
    this.children = this.children.filter((child) => !pids.has(child.pid) || !this.endsBy(child, signal))
    this.endOutput()
    return reached
  }

  readonly stop = (options: StopOptions = {}): Effect.Effect<StopReport> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Clock.currentTimeNanos, (now) => {
        const { grace, signal } = { ...this.about.spec.stop, ...options }
        const deadline = signal === "SIGKILL" ? now : Stopping.after(now, grace)
        const known = this.stopping
        if (known !== undefined) {
          known.hasten(deadline)
          return restore(Deferred.await(known.done))
        }
        const stopping = new Stopping.Stopping(signal, deadline)
        this.stopping = stopping
        return Stopping.run(this, stopping, this.pid).pipe(
          Effect.tap(({ survivors }) => {
            if (survivors.length > 0) this.stopping = undefined
          }),
          Effect.intoDeferred(stopping.done),
          Effect.forkDaemon,
          Effect.andThen(restore(Deferred.await(stopping.done))),
        )
      }),
    )

  /** What a stop under way could not do. See `ScriptedSpawner.obey`. */
  obey(): void {
    if (this.stopping !== undefined) this.vanish()
  }

  private endsBy({ ignores = [], survivesKill = false }: Manners, signal: Signal): boolean {
    if (harmless.has(signal) || stops.has(signal)) return false
    if (this.isOver()) return true
    return !survivesKill && (signal === "SIGKILL" || !ignores.includes(signal))
  }

  /** What a signal does to the process itself. */
  private strike(signal: Signal): void {
    if (this.status !== undefined) return
    this.received.push(signal)
    if (signal === "SIGKILL") {
      if (this.endsBy(this.program, signal)) this.leave(statusOf(signal))
    } else if (signal === "SIGCONT") {
      const held = this.held ?? []
      this.held = undefined
      for (const one of held) this.take(one)
    } else if (signal === "SIGSTOP") this.held ??= []
    else if (this.held !== undefined) this.held.push(signal)
    else this.take(signal)
  }

  private take(signal: Signal): void {
    const { ignores = [], onSignal } = this.program
    if (this.isOver() || onSignal === undefined || ignores.includes(signal)) {
      if (this.endsBy(this.program, signal)) this.leave(statusOf(signal))
      return
    }
    this.fork(
      Effect.flatMap(onSignal(signal, this), (ending) =>
        ending === undefined ? Effect.void : this.end(ending),
      ),
    )
  }

  /** What throws ends the process as it would end a real one. */
  private fork(effect: Effect.Effect<void>): void {
    const guarded = Effect.catchAllCause(effect, (cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.void
        : Effect.andThen(this.print(Cause.pretty(cause), "stderr"), this.end(1)),
    )
    const fiber = Runtime.runFork(this.about.runtime)(guarded)
    this.fibers.add(fiber)
    fiber.addObserver(() => this.fibers.delete(fiber))
  }

  private leave(status: ExitStatus): void {
    if (this.status !== undefined) return
    this.status = status
    this.held = undefined
    for (const fiber of this.fibers) fiber.unsafeInterruptAsFork(FiberId.none)
    Deferred.unsafeDone(this.exited, Effect.succeed(status))
    this.endOutput()
  }

  /** Children have it open still. */
  private endOutput(): void {
    if (this.isEmpty()) this.output.end()
  }
}
