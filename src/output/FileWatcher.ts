/**
 * How the system tells that a file changes: inotify on Linux, kqueue and FSEvents on macOS, through Node's
 * `fs.watch`. Behind a reference, so that a test can tell by itself, and an app on a file system without events can say so.
 */
import * as fs from "node:fs"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { codeOf } from "../process/Diagnosis.js"

/** The system does not watch this: it is not there (`ENOENT`), or there are too many watches (`ENOSPC`, `EMFILE`). */
export class NotWatched extends Data.TaggedError("NotWatched")<{
  readonly path: string
  readonly code: string
}> {
  override get message(): string {
    return `"${this.path}" cannot be watched (${this.code}). It is looked at from time to time instead. If the system's limit is reached, raise fs.inotify.max_user_watches and max_user_instances.`
  }
}

/** What happens to what is watched. */
export interface Listener {
  /**
   * Something changed. `name` is the entry of a watched directory, or null when it is not known. `moved`: not the
   * contents, but what stands under that name.
   */
  readonly onEvent: (name: string | null, moved: boolean) => void
  /** No more events will come. */
  readonly onLost: () => void
}

/** A watch that somebody has to close. */
export interface Watch {
  readonly close: () => void
}

/** The service behind {@link FileWatcher}. */
export interface Service {
  /** Watches a file, or the entries of a directory. When it succeeds, every change from then on makes an event. */
  readonly watch: (path: string, listener: Listener) => Effect.Effect<Watch, NotWatched>
}

/** A turn of the event loop, with its poll for events, begins and ends. */
const turn = Effect.async<void>((resume) => void setImmediate(() => setImmediate(() => resume(Effect.void))))

/** On Linux a watch is set when `fs.watch` returns; kqueue is told at the next turn of the event loop. */
const settled = process.platform === "linux" ? Effect.void : turn

const live: Service = {
  watch: (path, { onEvent, onLost }) =>
    Effect.suspend(() => {
      try {
        const watcher = fs.watch(path, (kind, name) => onEvent(name, kind === "rename"))
        watcher.on("error", () => {
          watcher.close()
          onLost()
        })
        return Effect.as(settled, { close: () => watcher.close() })
      } catch (cause) {
        return Effect.fail(new NotWatched({ path, code: codeOf(cause) }))
      }
    }).pipe(Effect.uninterruptible),
}

/** What tells followers that a file changes; the system's own events unless another is provided. */
export class FileWatcher extends Context.Reference<FileWatcher>()("holdfast/output/FileWatcher", {
  defaultValue: () => live,
}) {}

/**
 * No events at all: files are looked at once a second. For file systems that do not tell (some network and FUSE
 * mounts whose writer is another machine).
 */
export const layerPolling: Layer.Layer<FileWatcher> = Layer.succeed(FileWatcher, {
  watch: (path) => Effect.fail(new NotWatched({ path, code: "ENOSYS" })),
})
