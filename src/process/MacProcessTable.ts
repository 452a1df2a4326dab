/** The process table as macOS shows it through ps(1), which can print the environment of our own processes. */
import { execFile, execFileSync } from "node:child_process"
import { basename } from "node:path"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Batch from "./Batch.js"
import { systemReason } from "./Diagnosis.js"
import { jobVariable, lineageVariable, unitVariable } from "./Environment.js"
import { ProcessIdentity } from "./ProcessIdentity.js"
import { type GroupQuery, type Member, type Named, ProcessTable, TableUnreadable } from "./ProcessTable.js"

const run = promisify(execFile)

// C locale: dates as the parser below expects them.
const options = {
  env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C", TZ: "UTC" },
  maxBuffer: 256 * 1024 * 1024,
}

/** One line of `ps -o pid=,ppid=,pgid=,stat=,lstart=,command=`. */
export interface Row {
  readonly pid: number
  readonly parentPid: number
  readonly groupId: number
  readonly state: string
  /** A date to the second, such as `Sat Nov 21 03:46:00 2026`. */
  readonly startTime: string
  /** With `-E`, the environment follows the command. */
  readonly command: string
}

/** Reads one line of ps; undefined when it is not of that form. */
export const parseRow = (line: string): Row | undefined => {
  const match = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(\w{3}\s+\w{3}\s+\d+\s+[\d:]+\s+\d{4})\s(.*)$/.exec(line)
  if (match === null) return undefined
  const [, pid, parentPid, groupId, state, startTime, command] = match
  return {
    pid: Number(pid),
    parentPid: Number(parentPid),
    groupId: Number(groupId),
    state: state!,
    startTime: startTime!.replace(/\s+/g, " "),
    command: command!.trim(),
  }
}

const columns = "pid=,ppid=,pgid=,stat=,lstart=,command="

const rowsOf = (text: string): ReadonlyArray<Row> =>
  text
    .split("\n")
    .map(parseRow)
    .filter((row) => row !== undefined)

/** The rows that belong to each query. */
export const select = (
  rows: ReadonlyArray<Row>,
  queries: ReadonlyArray<GroupQuery>,
  own: ReadonlySet<number>,
): ReadonlyArray<ReadonlyArray<Member>> =>
  queries.map(({ leader, leaderEndedAt, mark }) => {
    const members: Array<Member> = []
    const pattern = new RegExp(`\\b${lineageVariable}=(\\S+ )*${mark.replaceAll(".", "\\.")}(\\s|$)`)
    for (const row of rows) {
      if (row.state.startsWith("Z") || (own.has(row.pid) && row.pid !== leader.pid)) continue
      const marked = pattern.test(row.command)
      const inGroup = row.groupId === leader.pid
      if (!marked && !inGroup) continue
      members.push({
        pid: row.pid,
        parentPid: row.parentPid,
        groupId: row.groupId,
        startTime: row.startTime,
        command: row.command.replace(/ [A-Za-z_]\w*=.*$/s, ""),
        inGroup,
        proven:
          marked ||
          leaderEndedAt === undefined ||
          Date.parse(`${row.startTime} UTC`) <= Date.parse(leaderEndedAt),
      })
    }
    return members
  })

/** What each is called. `programs` is what `ps -o pid=,comm=` says: there comm is a path, and whole. */
export const named = (rows: ReadonlyArray<Row>, programs: string): ReadonlyArray<Named> => {
  const paths = new Map(
    programs.split("\n").flatMap((line) => {
      const match = /^\s*(\d+)\s(.*)$/.exec(line)
      return match === null ? [] : [[Number(match[1]), match[2]!.trim()] as const]
    }),
  )
  return rows.flatMap(({ state, ...row }) => {
    if (state.startsWith("Z")) return []
    const [first = ""] = row.command.split(" ", 1)
    const names = new Set([basename(paths.get(row.pid) ?? ""), basename(first)])
    names.delete("")
    return [{ ...row, names: [...names] }]
  })
}

const identityOf = (text: string, bootId: string): ProcessIdentity | undefined => {
  const row = rowsOf(text)[0]
  return row === undefined || row.state.startsWith("Z")
    ? undefined
    : new ProcessIdentity({ pid: row.pid, startTime: row.startTime, bootId })
}

const unreadable = (cause: unknown) => new TableUnreadable({ reason: systemReason(cause) })

/** The process table of macOS. */
export const layer: Layer.Layer<ProcessTable> = Layer.sync(ProcessTable, () => {
  const ask = (file: string, ...args: ReadonlyArray<string>): string =>
    execFileSync(file, args, { ...options, encoding: "utf8" }).trim()
  const bootId = ask("sysctl", "-n", "kern.bootsessionuuid")
  const own = new Set<number>()
  const identify = (pid: number) =>
    Effect.tryPromise({
      try: () =>
        run("ps", ["-p", String(pid), "-o", columns], options).then(
          ({ stdout }) => identityOf(stdout, bootId),
          (cause: { readonly code?: unknown }) => {
            // ps exits with 1 when there is no such process.
            if (cause.code === 1) return undefined
            throw cause
          },
        ),
      catch: unreadable,
    })
  return {
    identify,
    identifyChild: (pid) =>
      Effect.map(identify(pid), (found) => found ?? new ProcessIdentity({ pid, startTime: "ended", bootId })),
    // ps rounds down to the second.
    endOf: ({ startTime }, millis) => new Date(Date.parse(`${startTime} UTC`) + millis + 2_000).toUTCString(),
    isStill: () => true,
    ageOf: ({ startTime }) => Date.now() - Date.parse(`${startTime} UTC`),
    timeAt: () => new Date(Date.now() + 2_000).toUTCString(),
    membersOf: Batch.make(async (queries: ReadonlyArray<GroupQuery>) => {
      const { stdout } = await run("ps", ["-axwwE", "-o", columns], options)
      return select(rowsOf(stdout), queries, own)
    }, unreadable),
    marked: (mark) =>
      Effect.tryPromise({
        try: async () => {
          const { stdout } = await run("ps", ["-axwwE", "-o", columns], options)
          return rowsOf(stdout).flatMap((row) => {
            const [, marks = ""] =
              new RegExp(`\\b${lineageVariable}=(\\S+(?: [^ =]+)*)`).exec(row.command) ?? []
            const found = marks.split(" ").findLast((text) => mark.test(text))
            const command = row.command.replace(/ [A-Za-z_]\w*=.*$/s, "")
            if (found === undefined || row.state.startsWith("Z")) return []
            const ofJob = row.command.includes(` ${jobVariable}=`)
            const unit = new RegExp(` ${unitVariable}=(\\S+)`).exec(row.command)?.[1]
            return [{ ...row, command, mark: found, unit: ofJob ? undefined : unit }]
          })
        },
        catch: unreadable,
      }),
    list: (pids) =>
      Effect.tryPromise({
        try: async () => {
          const [programs, rows] = await Promise.all([
            run("ps", ["-axww", "-o", "pid=,comm="], options),
            run("ps", ["-axww", "-o", columns], options),
          ])
          const all = named(rowsOf(rows.stdout), programs.stdout)
          return pids === undefined ? all : all.filter(({ pid }) => pids.includes(pid))
        },
        catch: unreadable,
      }),
    setOwn: (pid, isOwn) => {
      if (isOwn) own.add(pid)
      else own.delete(pid)
    },
    ownGroup: Number(ask("ps", "-p", String(process.pid), "-o", "pgid=")),
  }
})
