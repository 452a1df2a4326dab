/** The attempts that run: started, heard of, ended. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { diagnose, systemReason } from "../../process/Diagnosis.js"
import { formatCommand } from "../../process/Mask.js"
import { isSame } from "../../process/ProcessIdentity.js"
import { FileUnusable, type SpawnError } from "../../process/SpawnError.js"
import { Attempt, markOf, redactorOf } from "./Attempt.js"
import type { Begun, Outcome } from "../keeper/AttemptFiles.js"
import * as AttemptFiles from "../keeper/AttemptFiles.js"
import * as AttemptWatch from "./AttemptWatch.js"
import { JobEvent } from "../JobEvent.js"
import type { InvalidTransition, JobRecord } from "../JobRecord.js"
import { hasEnded, lastAttempt } from "../JobRecord.js"
import type { KeeperNews } from "../keeper/KeeperProtocol.js"
import type { RunnerContext } from "./RunnerContext.js"
import { background, chain, now, persist, publish } from "./RunnerContext.js"

/** For so long a start is not stored: most of what ends at once is then stored as one change. In milliseconds. */
const startDelay = 10

/** Errors of the system that pass by themselves: the job is tried again. */
const passing: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EAGAIN", "ENOMEM", "EMFILE", "ENFILE"])

/** Errors that a second try would only repeat. */
const permanent: ReadonlySet<string> = new Set([
  "CommandNotFound",
  "NotExecutable",
  "BadWorkingDirectory",
  "FileUnusable",
  "ArgumentListTooLong",
  "SecretsErased",
])

/** Why it was being stopped, if it was: that may not be stored yet. */
const stopOf = ({ stopping }: Attempt): ReadonlyArray<JobEvent> =>
  stopping === undefined ? [] : [JobEvent.Stopping(stopping)]

/** So long a keeper may take to begin with what it was asked for, in milliseconds, before its news is taken for lost. */
const beginPatience = 10_000

/** The attempts that run. */
export class Attempts {
  private readonly running = new Map<string, Attempt>()
  private unstored: Array<Attempt> = []

  constructor(
    private readonly context: RunnerContext,
    /** Called when the system had no room for another process or its files, or a keeper did not begin. */
    private readonly onRefused: Effect.Effect<void>,
    /** Called when a process was started. */
    private readonly onBegun: () => void,
  ) {}

  get all(): ReadonlyArray<Attempt> {
    return [...this.running.values()]
  }

  /** What runs of a job. */
  of(record: JobRecord): Attempt | undefined {
    const last = lastAttempt(record)
    return last === undefined ? undefined : this.running.get(AttemptFiles.pathsOf(record.id, last.number).run)
  }

  /** To be called before its files are looked at or its keeper is asked, so that no news of it is missed. */
  add(attempt: Attempt): void {
    this.running.set(attempt.paths.run, attempt)
  }

  /** What a keeper tells. */
  hear(news: KeeperNews): Effect.Effect<void> {
    return Effect.suspend(() => {
      const attempt = this.running.get(news.run)
      // Of one that is not known any more, or not yet: then its files are still to be looked at.
      if (attempt === undefined) return Effect.void
      switch (news._tag) {
        case "Begun":
          return Effect.flatMap(now, (at) => this.begun(attempt, news.begun, at))
        case "Over":
          this.context.queue.vacate(attempt.id)
          this.context.wake.signal()
          return Effect.flatMap(now, (at) => background(this.context, this.end(attempt, news.outcome, at)))
        case "Refused":
          return background(this.context, this.refused(attempt, news.step, news.errno))
      }
    })
  }

  /** Its process is known. */
  begun(attempt: Attempt, begun: Begun, at: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (attempt.begun !== undefined || attempt.isEnding) return Effect.void
      this.onBegun()
      attempt.begin(begun, at)
      if (this.unstored.push(attempt) === 1)
        return Effect.zipRight(
          background(this.context, Effect.delay(this.storeStarts, startDelay)),
          AttemptWatch.begin(this.context, attempt),
        )
      return AttemptWatch.begin(this.context, attempt)
    })
  }

  private readonly storeStarts = Effect.suspend(() => {
    const starts = this.unstored.filter((attempt) => !attempt.isEnding)
    this.unstored = []
    return Effect.forEach(starts, (attempt) => background(this.context, this.storeStart(attempt)), {
      discard: true,
    })
  })

  private storeStart(attempt: Attempt): Effect.Effect<void> {
    return Effect.flatMap(
      persist(this.context, attempt.id, (record) =>
        lastAttempt(record)?.number === attempt.number
          ? chain(record, this.startOf(attempt))
          : Either.right(record),
      ),
      (record) => (record === undefined || hasEnded(record) ? Effect.void : publish(this.context, record)),
    )
  }

  private startOf(attempt: Attempt): ReadonlyArray<JobEvent> {
    const { begun, startedAt } = attempt
    return begun === undefined ? [] : [JobEvent.Started({ at: startedAt!, process: attempt.identity(begun) })]
  }

  /** Its keeper told how it ended. */
  end(attempt: Attempt, outcome: Outcome, at: number): Effect.Effect<void> {
    const { context, paths } = { context: this.context, paths: attempt.paths }
    const sizes = {
      stdoutBytes: AttemptFiles.sizeOf(context.root, paths.stdout),
      stderrBytes: AttemptFiles.sizeOf(context.root, paths.stderr),
    }
    switch (outcome._tag) {
      case "Code":
        return this.finish(attempt, outcome.uptime, [JobEvent.Exited({ at, code: outcome.code, ...sizes })])
      case "Signal": {
        const { signal } = outcome
        return this.finish(attempt, outcome.uptime, [
          ...(attempt.sent.has(signal) ? [JobEvent.Stopping({ at, cause: "stopped", signal })] : []),
          JobEvent.Signaled({ at, signal, ...sizes }),
        ])
      }
      case "Fault":
        return this.finish(attempt, outcome.uptime, [
          this.failure(this.explain(attempt, outcome.step, outcome.errno), at),
        ])
    }
  }

  /** What became of it cannot be known. */
  lose(attempt: Attempt, why: string, cause: "lost" | "reboot"): Effect.Effect<void> {
    return Effect.flatMap(now, (at) =>
      Effect.zipRight(
        Effect.logWarning(`Job ${attempt.id} is lost: ${why}`),
        this.finish(attempt, undefined, [JobEvent.Lose({ at, why, cause })]),
      ),
    )
  }

  /** It could not be started, and what is in its way will not pass. */
  fail(attempt: Attempt, error: { readonly _tag: string; readonly message: string }): Effect.Effect<void> {
    return Effect.flatMap(now, (at) => this.finish(attempt, undefined, [this.failure(error, at)]))
  }

  /** It never began, and never will. */
  withdraw(attempt: Attempt, why: string): Effect.Effect<void> {
    return Effect.flatMap(now, (at) => this.finish(attempt, undefined, [JobEvent.Withdraw({ at, why })]))
  }

  private failure(error: { readonly _tag: string; readonly message: string }, at: number): JobEvent {
    return JobEvent.SpawnFailed({
      at,
      error: error._tag,
      reason: error.message,
      permanent: permanent.has(error._tag),
    })
  }

  private refused(attempt: Attempt, step: string, errno: string): Effect.Effect<void> {
    if (passing.has(errno))
      return Effect.zipRight(
        this.onRefused,
        this.withdraw(attempt, `there was no room for it: ${systemReason({ code: errno, message: errno })}`),
      )
    const path = attempt.paths.dir
    const reason = systemReason(Object.assign(new Error(errno), { code: errno }))
    return this.fail(
      attempt,
      new FileUnusable({ field: step === "place" ? "its own folder" : step, path, reason }),
    )
  }

  private explain(attempt: Attempt, step: string, errno: string): SpawnError {
    const { context, record } = { context: this.context, record: attempt.record }
    const spec = attempt.spec ?? record.spec
    const redact = redactorOf(context, record, attempt.spec)
    const cause = Object.assign(new Error(errno), { code: errno })
    if (step === "stdin") {
      const path = typeof spec.stdin === "object" && "file" in spec.stdin ? spec.stdin.file : "stdin"
      return new FileUnusable({ field: "stdin", path, reason: systemReason(cause) })
    }
    const [program, ...args] = spec.command
    const env = { ...(spec.inheritEnv ? context.env : {}), ...spec.env }
    const shown = formatCommand(spec.command, redact)
    return diagnose({ program, args, cwd: spec.cwd, env, shown, redact }, cause)
  }

  /** Stores an end, once, and lets go of it. */
  private finish(
    attempt: Attempt,
    uptime: string | undefined,
    events: ReadonlyArray<JobEvent>,
  ): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      if (attempt.isEnding) return
      attempt.isEnding = true
      const { context, running } = this
      const { id, number, paths } = attempt
      yield* attempt.unwatch
      const group = attempt.begun === undefined ? undefined : yield* Deferred.await(attempt.group)
      group?.leaderEnded(
        uptime === undefined || uptime === "-" ? context.table.timeAt("") : context.table.timeAt(uptime),
      )
      Deferred.unsafeDone(attempt.group, Effect.succeed(undefined))
      const change = (record: JobRecord): Either.Either<JobRecord, InvalidTransition> => {
        const last = lastAttempt(record)
        return last?.number !== number || last.end !== undefined
          ? Either.right(record)
          : chain(record, [...this.startOf(attempt), ...stopOf(attempt), ...events])
      }
      const owes = attempt.record.spec.notifications.length > 0
      if (owes) {
        const ended = yield* Effect.option(Effect.flatMap(context.store.get(id), change))
        if (ended._tag === "Some") yield* context.notifier.prepare(ended.value)
      }
      const record = yield* persist(context, id, change)
      running.delete(paths.run)
      if (record !== undefined) {
        yield* publish(context, record)
        if (owes) yield* context.notifier.deliver(record)
      } else {
        context.wake.signal()
      }
      Deferred.unsafeDone(attempt.over, Effect.void)
    })
  }

  /**
   * Looks after attempts whose keeper may have died: what it noted before is taken, else the process is watched until
   * it is gone, when nobody can tell any more how it ended.
   */
  check(attempt: Attempt, isKept: boolean): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      if (attempt.isEnding) return
      const noted = yield* this.noted(attempt)
      if (noted?.begun !== undefined && attempt.begun === undefined) {
        yield* this.begun(attempt, noted.begun, yield* this.startTime(attempt, noted.begun))
      }
      if (noted?.outcome !== undefined) return yield* this.end(attempt, noted.outcome, noted.writtenAt)
      if (isKept) return noted === undefined ? yield* this.hasten(attempt) : undefined
      if (noted === undefined || attempt.begun === undefined) return yield* this.settle(attempt)
      const { pid } = attempt.begun
      const found = yield* Effect.option(this.context.table.identify(pid))
      if (found._tag === "None") return
      const lives = found.value !== undefined && isSame(found.value, attempt.identity(attempt.begun))
      if (!lives) {
        yield* this.lose(
          attempt,
          `The process that was to record its end (its keeper, pid ${attempt.keeper.pid}) was killed, and process ${pid} has ended since. Its output is kept; its exit code is unknown.`,
          "lost",
        )
      }
    })
  }

  /** What its keeper noted; undefined when there is no such file. One that cannot be read says nothing. */
  noted(attempt: Attempt): Effect.Effect<AttemptFiles.Noted | undefined> {
    const { paths } = attempt
    return Effect.try(() => AttemptFiles.read(this.context.root, paths.run)).pipe(
      Effect.catchAll(({ error }) => {
        const nothing = { begun: attempt.begun, outcome: undefined, writtenAt: 0 }
        if (attempt.isUnreadable) return Effect.succeed(nothing)
        attempt.isUnreadable = true
        const reason = systemReason(error)
        return Effect.as(
          Effect.logError(
            `The notes on job ${attempt.id} in "${paths.run}" cannot be read (${reason}). Its process is watched as far as it is known; its result will be lost.`,
          ),
          nothing,
        )
      }),
    )
  }

  /** Its keeper lives, and has not begun. */
  private hasten(attempt: Attempt): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      const launchedAt = lastAttempt(attempt.record)?.launchedAt ?? 0
      if (Math.abs((yield* now) - launchedAt) < beginPatience) return
      if (!(yield* this.forbid(attempt))) return
      yield* this.onRefused
      yield* this.withdraw(attempt, `its keeper (pid ${attempt.keeper.pid}) did not begin within 10 s`)
    })
  }

  /** Makes sure that it never begins; false when it has, or when that cannot be told. */
  forbid(attempt: Attempt): Effect.Effect<boolean> {
    return Effect.try(() => AttemptFiles.forbid(this.context.root, attempt.paths)).pipe(
      Effect.catchAll(({ error }) =>
        Effect.as(
          Effect.logError(`The folder of job ${attempt.id} cannot be used: ${systemReason(error)}`),
          false,
        ),
      ),
    )
  }

  /** Its keeper is gone and noted no process. */
  private settle(attempt: Attempt): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      if (yield* this.forbid(attempt)) {
        yield* this.onRefused
        return yield* this.withdraw(attempt, "its keeper had ended before it could begin")
      }
      // It may have been killed between the fork and its note: what it forked carries the mark of the attempt.
      const mark = markOf(attempt.id, attempt.number)
      const found = yield* Effect.option(
        this.context.table.marked(new RegExp(`^${mark.replace(".", "\\.")}$`)),
      )
      if (found._tag === "None") return
      const leader = found.value.find(({ groupId, pid }) => groupId === pid)
      if (leader !== undefined)
        return yield* this.begun(attempt, leader, yield* this.startTime(attempt, leader))
      yield* this.lose(
        attempt,
        attempt.isUnreadable
          ? `What its keeper noted in "${attempt.paths.run}" cannot be read, and no process of it is left.`
          : `Its keeper (pid ${attempt.keeper.pid}) was killed while it was starting this job. Whether it ran cannot be known.`,
        "lost",
      )
    })
  }

  /** When a process began, by the wall clock. */
  startTime(attempt: Attempt, { startTime }: Begun): Effect.Effect<number> {
    return Effect.map(now, (at) => {
      const launchedAt = lastAttempt(attempt.record)?.launchedAt ?? at
      const since = Math.trunc(at - this.context.table.ageOf({ startTime }))
      return Number.isFinite(since) ? Math.min(at, Math.max(since, launchedAt)) : launchedAt
    })
  }

  /** Waits until the end of an attempt is stored. */
  ended(attempt: Attempt): Effect.Effect<void> {
    return Deferred.await(attempt.over)
  }
}
