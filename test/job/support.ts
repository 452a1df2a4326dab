/** What the tests of jobs share. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { ProcessIdentity } from "../../src/process/ProcessIdentity.js"
import { JobEvent } from "../../src/job/JobEvent.js"
import * as JobSpec from "../../src/job/JobSpec.js"

/** A directory that is gone after the test. */
export const temporary: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-job-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true })),
)

/** A job's description, in `/srv` unless told otherwise. */
export const spec = (input: Partial<JobSpec.Input> = {}) =>
  Effect.orDie(JobSpec.make({ command: ["true"], ...input }, { cwd: "/srv", env: {} }))

export const launch = (at: number) =>
  JobEvent.Launch({ at, keeper: "k", bootId: "b", stdout: "1/stdout.log", stderr: "1/stderr.log" })

export const identity = (pid: number) => new ProcessIdentity({ pid, startTime: String(pid * 7), bootId: "b" })

export const started = (at: number, pid = 4711) => JobEvent.Started({ at, process: identity(pid) })
