/** What the tests of log files share. */
import nodeFs, * as fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { FileWatcher, type Listener, type Service } from "../../src/output/FileWatcher.js"

/** A directory that goes with the scope. */
export const directory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-output-"))),
  (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true })),
)

/** The path of a log file in a directory of its own. Written when there is something to write. */
export const logFile = (contents?: string | Uint8Array): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(directory, (made) => {
    const log = path.join(made, "out.log")
    if (contents !== undefined) fs.writeFileSync(log, contents)
    return log
  })

/** How many descriptors of this process are open in a directory; 0 where the system does not tell. */
export const descriptorsIn = (where: string): number => {
  if (process.platform !== "linux") return 0
  return fs.readdirSync("/proc/self/fd").filter((descriptor) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(where)
    } catch {
      return false
    }
  }).length
}

/** A watcher that counts, and lets a test stand in between. */
export interface Spy extends Service {
  /** How many watches are open. */
  readonly open: () => number
  /** How many were set so far. */
  readonly made: () => number
  /** The listeners of the open ones. */
  readonly listeners: ReadonlySet<Listener>
}

/** The system's events, seen by a spy. `before` is called before each watch is set, `after` when it is. */
export const spyWatcher = (
  hooks: { readonly before?: (path: string) => void; readonly after?: (path: string) => void } = {},
): Effect.Effect<Spy> =>
  Effect.map(FileWatcher, (live) => {
    const listeners = new Set<Listener>()
    let made = 0
    return {
      listeners,
      open: () => listeners.size,
      made: () => made,
      watch: (path, listener) =>
        Effect.suspend(() => {
          hooks.before?.(path)
          return Effect.map(live.watch(path, listener), (watch) => {
            made++
            listeners.add(listener)
            hooks.after?.(path)
            return {
              close: () => {
                listeners.delete(listener)
                watch.close()
              },
            }
          })
        }),
    }
  })

/** Lets a spy stand in for the system's events. */
export const watchedBy =
  (spy: Service) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, FileWatcher>> =>
    Effect.provideService(effect, FileWatcher, spy)

/** A turn of the event loop, in real time. */
export const turn = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** Lets the event loop turn until `condition` holds, in real time; dies after ten seconds of it. */
export const until = (what: string, condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => {
    const end = performance.now() + 10_000
    const again: Effect.Effect<void> = Effect.suspend(() =>
      condition()
        ? Effect.void
        : performance.now() > end
          ? Effect.dieMessage(`never happened: ${what}`)
          : Effect.zipRight(turn, again),
    )
    return again
  })

/** Runs with another function of `node:fs` in the place of the real one. */
export const replacing = <K extends "open" | "read" | "write" | "writev", A, E, R>(
  name: K,
  replacement: (original: (typeof fs)[K]) => (...args: any) => void,
  run: Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R> => {
  const put = (value: unknown): void => {
    Object.assign(nodeFs, { [name]: value })
    syncBuiltinESMExports()
  }
  return Effect.acquireUseRelease(
    Effect.sync(() => {
      const original = nodeFs[name]
      put(replacement(original))
      return original
    }),
    () => run,
    (original) => Effect.sync(() => put(original)),
  )
}
