/**
 * The operating system's table of processes: who is alive, and which of them belong to a given spawn. The one place
 * that knows how each system tells.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ProcessIdentity } from "./ProcessIdentity.js"

/** A spawn whose processes are looked for. */
export interface GroupQuery {
  /** The process that was spawned: the leader of the group and of the session. */
  readonly leader: ProcessIdentity
  /** What its descendants carry in `HOLDFAST_LINEAGE`. */
  readonly mark: string
  /** When the leader was found to have ended, in the unit of `startTime`; undefined while it lives. */
  readonly leaderEndedAt: string | undefined
  /** Milliseconds since the spawn. */
  readonly ageMillis: number
}

/** A live process as the system describes it. */
export interface ProcessInfo {
  readonly pid: number
  readonly parentPid: number
  readonly groupId: number
  readonly startTime: string
  readonly command: string
}

/** A live process that carries a mark in its environment. */
export interface Marked extends ProcessInfo {
  readonly mark: string
  /** The unit that it says it belongs to; undefined for what belongs to a job, or to neither. */
  readonly unit: string | undefined
}

/** A live process, and what it is called. */
export interface Named extends ProcessInfo {
  /**
   * The names it goes by, each exactly: the system's own, and that of its first argument, without a directory. A name
   * that the system has cut is not among them; a thread of the kernel has none.
   */
  readonly names: ReadonlyArray<string>
}

/** A live process that belongs to a spawn. */
export interface Member extends ProcessInfo {
  /** Whether a signal to the group reaches it. */
  readonly inGroup: boolean
  /**
   * Whether it was shown to be ours: by its mark, because its leader lives, or because it started while the leader
   * held the group's id. A member that is not proven is never signalled.
   */
  readonly proven: boolean
}

/** The table could not be read, most often because no file descriptor is left: nothing is known, not even "none". */
export class TableUnreadable extends Schema.TaggedError<TableUnreadable>()("TableUnreadable", {
  reason: Schema.String,
}) {
  override get message(): string {
    return `The system's table of processes could not be read: ${this.reason}.`
  }
}

/** Reads the operating system's table of processes. */
export class ProcessTable extends Context.Tag("holdfast/process/ProcessTable")<
  ProcessTable,
  {
    /** The running process with that pid; undefined when there is none (a zombie counts as none). */
    readonly identify: (pid: number) => Effect.Effect<ProcessIdentity | undefined, TableUnreadable>
    /**
     * The identity of a child that this program has just spawned and not yet reaped, so that its pid cannot have
     * been handed out again.
     */
    readonly identifyChild: (pid: number) => Effect.Effect<ProcessIdentity, TableUnreadable>
    /**
     * When a leader ended that lived for `millis`, in the unit of `startTime`; rather a moment too late. It opens no
     * file: there may be no descriptor left at the time of an exit. (A machine that slept meanwhile makes it too
     * early: then less can be proven.)
     */
    readonly endOf: (leader: ProcessIdentity, millis: number) => string
    /**
     * Whether a process just found is still the one that has this pid. False when that cannot be told; macOS has no
     * quick way to tell and trusts the look.
     */
    readonly isStill: (process: Pick<ProcessInfo, "pid" | "startTime">) => boolean
    /** Milliseconds since a process of this boot began. A jump of the wall clock changes nothing (on Linux). */
    readonly ageOf: (process: Pick<ProcessInfo, "startTime">) => number
    /** A time of this boot, given as the seconds of /proc/uptime, in the unit of `startTime`; rather too late. */
    readonly timeAt: (uptime: string) => string
    /**
     * Every live process of a spawn. Looked up after the call, never answered from an earlier look; calls that wait
     * at the same time share one look at the table.
     */
    readonly membersOf: (query: GroupQuery) => Effect.Effect<ReadonlyArray<Member>, TableUnreadable>
    /** Every live process with such a mark in its `HOLDFAST_LINEAGE`, and that mark: the last one, where it has several. */
    readonly marked: (mark: RegExp) => Effect.Effect<ReadonlyArray<Marked>, TableUnreadable>
    /** Every live process, or those of `pids`. Looks once: one that comes meanwhile may be missed. */
    readonly list: (pids?: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<Named>, TableUnreadable>
    /**
     * Says that `pid` is (no longer) an unreaped child of this program and the leader of its own group, so that
     * looking for the processes of other spawns can pass it over.
     */
    readonly setOwn: (pid: number, own: boolean) => void
    /** This program's own process group, which is never signalled. */
    readonly ownGroup: number
  }
>() {}
