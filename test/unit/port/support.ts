/** Roots, records of programs that are gone, and processes that outlive whoever started them. */
import { type ChildProcess, spawn, type SpawnOptions, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { dirname, join } from "node:path"
import { tmpdir } from "node:os"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { PortHolders } from "../../../src/probe/PortHolder.js"
import { ProcessIdentity } from "../../../src/process/ProcessIdentity.js"
import { ProcessTable, type TableUnreadable } from "../../../src/process/ProcessTable.js"
import { InstanceRecord } from "../../../src/unit/port/InstanceRecords.js"
import { killPid } from "../../process/killPid.js"
import { eventually, isAlive } from "../../process/support.js"

/** A directory that goes with the scope. */
export const makeRoot: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "holdfast-units-"))),
  (root) => Effect.sync(() => fs.rmSync(root, { recursive: true, force: true })),
)

/** The file of a unit's record. */
export const fileOf = (root: string, unit: string): string => join(root, "units", unit, "instance.json")

/** The owner id of a program that is gone: nobody else's, as whoever carries it is killed, in whichever run of the tests. */
export const oldOwner = randomBytes(16).toString("hex")

const encode = Schema.encodeSync(Schema.parseJson(InstanceRecord))

/** Writes a record as the program with that owner id would have, which is no more. */
export const leaveRecord = (
  root: string,
  unit: string,
  identity: ProcessIdentity,
  about: Partial<InstanceRecord> = {},
): InstanceRecord => {
  const record = new InstanceRecord({
    unit,
    generation: 3,
    process: identity,
    // Its pid is as good as any: the start time is none.
    program: new ProcessIdentity({ ...identity, pid: process.ppid, startTime: "none" }),
    owner: oldOwner,
    mark: `${oldOwner}.0`,
    command: "sleep 300",
    ports: [],
    stop: { signal: "SIGTERM", grace: Duration.seconds(10) },
    startedAt: 0,
    ...about,
  })
  fs.mkdirSync(dirname(fileOf(root, unit)), { recursive: true })
  fs.writeFileSync(fileOf(root, unit), encode(record))
  return record
}

/** The groups that this file's tests have made. */
const groups = new Set<number>()

/**
 * The table as if there were nobody but the tests' own processes, their ancestors and the first one: what kills by name
 * or port must never meet a stranger, who may get a port the moment it becomes free.
 */
export const ownTable: Effect.Effect<ProcessTable["Type"], never, ProcessTable> = Effect.map(
  ProcessTable,
  (table) => ({
    ...table,
    list: (pids) =>
      Effect.map(table.list(), (all) => {
        const parents = new Map(all.map(({ parentPid, pid }) => [pid, parentPid]))
        const line = (pid: number): ReadonlyArray<number> => {
          const parent = parents.get(pid)
          return parent === undefined ? [] : [pid, ...line(parent)]
        }
        const ancestors = new Set([1, ...line(process.pid)])
        return all.filter(
          ({ groupId, pid }) =>
            (pids === undefined || pids.includes(pid)) &&
            (ancestors.has(pid) || groups.has(groupId) || line(pid).includes(process.pid)),
        )
      }),
  }),
)

/** Spawns in a group of its own; all of that is killed when the scope closes. */
export const spawnStray = (
  command: string,
  args: ReadonlyArray<string>,
  options: SpawnOptions = {},
): Effect.Effect<ChildProcess & { readonly pid: number }, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(command, args, { detached: true, stdio: "ignore", ...options })
      groups.add(child.pid!)
      return child as ChildProcess & { readonly pid: number }
    }),
    (child) => Effect.sync(() => endGroup(child.pid)),
  ).pipe(Effect.tap(({ pid }) => eventually("it is that program", () => !isAlive(pid) || hasArguments(pid))))

/** In the middle of an exec it has none, and no environment either. */
const hasArguments = (pid: number): boolean => {
  if (process.platform !== "linux") return true
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, "latin1") !== ""
  } catch {
    return true
  }
}

/** Kills a group that this test made, if there is anything left of it. */
export const endGroup = (pid: number): void => {
  try {
    killPid(-pid, "SIGKILL")
  } catch {
    // It is empty.
  }
}

/** Kills one process that this test made, when the scope closes. */
export const endLater = (pid: number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.addFinalizer(() => Effect.sync(() => isAlive(pid) && killPid(pid, "SIGKILL")))

/** The environment of a descendant of a program that is gone. */
export const markedBy = (mark = `${oldOwner}.0`, owner = oldOwner) => ({
  ...process.env,
  HOLDFAST_OWNER: owner,
  HOLDFAST_LINEAGE: mark,
})

/** Which process that is; it must be there. */
export const identityOf = (pid: number): Effect.Effect<ProcessIdentity, TableUnreadable, ProcessTable> =>
  Effect.flatMap(ProcessTable, (table) => table.identify(pid)).pipe(
    Effect.flatMap((found) =>
      found === undefined ? Effect.dieMessage(`there is no process ${pid}`) : Effect.succeed(found),
    ),
  )

/** The first line that a child writes to its standard output, which must be a pipe. */
export const firstLine = (child: ChildProcess): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    let text = ""
    child.once("close", (code, signal) =>
      resume(
        Effect.dieMessage(
          `process ${child.pid} ended with ${code ?? signal} before it wrote a line: ${text}`,
        ),
      ),
    )
    child.stdout!.on("data", (bytes: Buffer) => {
      text += String(bytes)
      if (text.includes("\n")) resume(Effect.succeed(text.slice(0, text.indexOf("\n"))))
    })
  })

/** What is logged while an effect runs, each with its level. */
export const logged = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
): Effect.Effect<readonly [A, ReadonlyArray<string>], E, R> =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const logger = Logger.make(({ annotations, logLevel, message }) => {
      lines.push(
        `${logLevel.label} ${[message].flat().join(" ")}${HashMap.size(annotations) > 0 ? " +" : ""}`,
      )
    })
    return Effect.map(
      Effect.provide(effect, Logger.replace(Logger.defaultLogger, logger)),
      (value) => [value, lines] as const,
    )
  })

/** Whether a shell finds that program. */
export const has = (program: string): boolean =>
  spawnSync("/bin/sh", ["-c", `command -v ${program}`], { stdio: "ignore" }).status === 0

/** Nobody holds any port. */
export const noHolders = Layer.succeed(PortHolders, {
  find: () => Effect.succeed(undefined),
  listeners: () => Effect.succeed({ holders: [], unnamed: false }),
  isHeldBy: () => Effect.succeed(undefined),
  isFree: () => Effect.succeed(true),
})
