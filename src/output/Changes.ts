/** Waits until a file may have changed, without missing a change that comes between a look and the wait. */
import { basename, dirname, relative, sep } from "node:path"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Wake from "../process/Wake.js"
import { FileWatcher, type Service, type Watch } from "./FileWatcher.js"
import * as LogFile from "./LogFile.js"

/**
 * How often to look where events come: they can be lost when the system's queue of them overflows, when a symbolic
 * link is pointed elsewhere, and while macOS begins to watch a directory.
 */
const insurance = Duration.seconds(10)

/** How often to look where none come. */
const polling = Duration.seconds(1)

/**
 * After so many events that nobody was waiting for, the watch is closed until somebody does: a writer of many small
 * pieces would otherwise keep the event loop busy with the news of them.
 */
const mostUnheeded = 16

/** What was seen of a file. */
export type Seen =
  | { readonly id: string; readonly hasName: true }
  | { readonly id: string; readonly hasName: false; readonly descriptor: number }

interface Slot {
  readonly key: string
  readonly watch: Watch
}

/**
 * The changes of one file. To miss none: look at the file; `watch` what was seen; when that is new, look again; else
 * `wait`.
 */
export class Changes {
  private readonly wake = Wake.make()
  private readonly slots = new Map<"file" | "name", Slot>()
  private isAwaited = false
  private unheeded = 0
  private isBlind = false

  constructor(
    private readonly path: string,
    private readonly watcher: Service,
  ) {}

  /** Calls `note` and wakes when `done` completes, whether well or not. */
  onDone(done: Effect.Effect<unknown>, note: () => void): Effect.Effect<void, never, Scope.Scope> {
    const finish = Effect.sync(() => {
      note()
      this.wake.signal()
    })
    return Effect.asVoid(Effect.forkScoped(Effect.zipRight(Effect.exit(done), finish)))
  }

  /** Waits for a change, `done`, or the time to look anyway; no longer than `atMost`. */
  wait(atMost: Duration.Duration = insurance): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.isAwaited = true
      this.unheeded = 0
      const longest = this.isBlind ? polling : insurance
      return Effect.raceFirst(this.wake.wait, Effect.sleep(Duration.min(atMost, longest)))
    })
  }

  /**
   * Watches `seen`, the file that was looked at; and for one that takes its name where it does not have it (any more),
   * or there is no file at all. Gives whether something is watched now that was not before, so that one has to look
   * again.
   */
  watch(seen: Seen | undefined): Effect.Effect<boolean> {
    return Effect.gen(this, function* () {
      this.isBlind = false
      let isNew = false
      if (seen === undefined) this.release("file")
      else {
        // What has lost its name can be watched by its descriptor; only Linux gives that a name.
        const target = seen.hasName ? this.path : `/proc/self/fd/${seen.descriptor}`
        isNew = (yield* this.arm("file", seen.id, target, () => true)) === "new"
      }
      if (seen?.hasName === true) this.release("name")
      else isNew = (yield* this.armName()) || isNew
      return isNew
    }).pipe(Effect.uninterruptible)
  }

  /** Watches nothing any more. */
  readonly close = (): void => {
    this.release("file")
    this.release("name")
  }

  /** The nearest directory there is on the way to the file. */
  private armName(): Effect.Effect<boolean> {
    return Effect.gen(this, function* () {
      for (let directory = dirname(this.path); ; directory = dirname(directory)) {
        const facts = yield* Effect.option(LogFile.facts(directory))
        if (facts._tag === "Some") {
          const [next] = relative(directory, this.path).split(sep)
          const own = basename(directory)
          // Others write to files of the directory as well; its own name says that it was itself moved or deleted.
          const concerns = (name: string | null) => name === null || name === next || name === own
          const armed = yield* this.arm("name", `${directory} ${facts.value.id}`, directory, concerns)
          if (armed !== "gone") return armed === "new"
        }
        if (dirname(directory) === directory) return false
      }
    })
  }

  private arm(
    kind: "file" | "name",
    key: string,
    target: string,
    concerns: (name: string | null) => boolean,
  ): Effect.Effect<"new" | "known" | "gone" | "refused"> {
    return Effect.suspend(() => {
      if (this.slots.get(kind)?.key === key) return Effect.succeed("known")
      this.release(kind)
      const lost = (): void => {
        this.release(kind)
        this.wake.signal()
      }
      const onEvent = (name: string | null, moved: boolean): void => {
        if (!concerns(name)) return
        // What was moved or deleted is watched no longer, and the number of its inode may be given to another file.
        if (moved || (!this.isAwaited && ++this.unheeded > mostUnheeded)) this.release(kind)
        this.isAwaited = false
        this.wake.signal()
      }
      return Effect.match(this.watcher.watch(target, { onEvent, onLost: lost }), {
        onFailure: ({ code }) => {
          if (code === "ENOENT" && kind === "name") return "gone"
          this.isBlind = true
          return "refused"
        },
        onSuccess: (watch) => {
          this.slots.set(kind, { key, watch })
          return "new"
        },
      })
    })
  }

  private release(kind: "file" | "name"): void {
    this.slots.get(kind)?.watch.close()
    this.slots.delete(kind)
  }
}

/** The changes of the file at `path`, watched until the scope closes. */
export const make = (path: string): Effect.Effect<Changes, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(FileWatcher, (watcher) => new Changes(path, watcher)),
    (changes) => Effect.sync(changes.close),
  )
