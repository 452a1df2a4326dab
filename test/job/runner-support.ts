/** A runner on a root of its own, which is built and closed as often as a test wants. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type { JobRecord } from "../../src/job/JobRecord.js"
import * as Jobs from "../../src/job/JobRunner.js"
import { JobRunner } from "../../src/job/JobRunner.js"
import type { JobStore } from "../../src/job/JobStore.js"
import type { KeeperProgram } from "../../src/job/keeper/Keeper.js"
import * as Notifier from "../../src/job/Notifier.js"
import * as SqliteJobStore from "../../src/job/SqliteJobStore.js"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"

/** A directory that is gone when the scope closes. */
export const makeRoot = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-runner-"))),
  (root) => Effect.promise(() => fs.promises.rm(root, { recursive: true, force: true, maxRetries: 5 })),
)

/** The runner of a root, and its store. */
export const layer = (
  root: string,
  options: {
    readonly keeper?: KeeperProgram
    readonly keep?: Jobs.Keep
    readonly onChange?: (record: JobRecord) => Effect.Effect<void>
  } = {},
): Layer.Layer<JobRunner | JobStore, unknown> =>
  Jobs.layer({ root, ...options }).pipe(
    Layer.provide(Notifier.layer({ root })),
    Layer.provideMerge(SqliteJobStore.layer({ root, synchronous: "normal" })),
    Layer.provide(ProcessSpawner.layer),
    Layer.provideMerge(Logger.minimumLogLevel(LogLevel.None)),
  )

/** Uses a runner of its own on a root, and closes it. */
export const withRunner = <A, E>(
  root: string,
  use: (runner: JobRunner["Type"]) => Effect.Effect<A, E>,
  keeper?: KeeperProgram,
): Effect.Effect<A, unknown> =>
  Effect.provide(
    Effect.flatMap(JobRunner, use),
    Layer.fresh(layer(root, keeper === undefined ? {} : { keeper })),
  )

/** Submits a shell command and waits for its end. */
export const runShell = (runner: JobRunner["Type"], script: string, options: object = {}) =>
  Effect.gen(function* () {
    const { record } = yield* runner.submit({ command: ["sh", "-c", script], ...options })
    return (yield* runner.wait(record.id)).record
  })

/** A small disk of its own under a directory, until the scope closes; undefined where nothing may be mounted. */
export const smallDisk = (directory: string) =>
  Effect.gen(function* () {
    const disk = path.join(directory, "disk")
    fs.mkdirSync(disk)
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m", "holdfast-test", disk])
    // Root in a container may not be allowed to.
    if (mounted.status !== 0) return undefined
    yield* Effect.addFinalizer(() => Effect.sync(() => spawnSync("umount", ["-l", disk])))
    return disk
  })
