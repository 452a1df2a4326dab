/** `doctor`: what a crash may have left behind, looked at from outside. */
import * as fs from "node:fs"
import { at, howToStart, placeOf } from "../Client.js"
import type { Finding } from "../Finding.js"
import * as Format from "../Format.js"
import { because, looking, removing, statOf } from "../Finding.js"
import type { Handler } from "../Handler.js"
import * as LeftUnits from "../LeftUnits.js"
import { painterOf } from "../Painter.js"
import { isAlive, ownerFile, ownerOf, rootOf, rootOption, tokenFile, tokenOf } from "../Root.js"
import type * as Syntaxes from "../Syntaxes.js"
import { isToken } from "./Token.js"
import type { World } from "../World.js"
import { Failure, exitCode, printable } from "../World.js"

/** What has become of it. */
type Result = Omit<Finding, "fix"> & { readonly fixable: boolean; readonly fixed?: string }

const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(4, "0")

/** A file or directory that is nobody else's business. */
const isPrivate = (what: string, path: string, wanted: number): ReadonlyArray<Finding> => {
  const found = statOf(path)
  if (found === undefined) return []
  const uid = process.getuid?.()
  if (uid !== undefined && found.uid !== uid) {
    return [
      { what, level: "bad", sentence: `${path} belongs to the user with the id ${found.uid}, not to you.` },
    ]
  }
  if ((found.mode & 0o077) === 0) return [{ what, level: "ok", sentence: `${path} is yours alone.` }]
  return [
    {
      what,
      level: "bad",
      sentence: `${path} has the mode ${octal(found.mode)}, so that others can get at it.`,
      fix: () => {
        fs.chmodSync(path, wanted)
        return `its mode is ${octal(wanted)} now`
      },
    },
  ]
}

/** With less than this, in bytes, it is a matter of luck what can still be written. */
const leastFree = 1_048_576

/** A disk that is full, which everything else about the root may well survive without a word. */
const disk = (root: string): ReadonlyArray<Finding> => {
  const { bavail, bsize } = looking(root, () => fs.statfsSync(root))
  const free = bavail * bsize
  if (free >= leastFree) return []
  const sentence = `The disk of ${root} is full (${Format.bytes(free)} left): new jobs are refused, and what units say is kept in memory only. Free some space, or delete old jobs: holdfast gc --older-than 1d`
  return [{ what: "disk", level: "bad", sentence }]
}

/** A token that others could read is known to them: to hide it is not enough. */
const token = (root: string): ReadonlyArray<Finding> => {
  const path = tokenFile(root)
  if (statOf(path) === undefined) return []
  const text = looking(path, () => tokenOf(root)) ?? ""
  if (!isToken(text)) {
    const sentence = `What is in ${path} is no token. Delete it; the next start of the daemon makes one.`
    return [{ what: "token", level: "bad", sentence }]
  }
  return isPrivate("token", path, 0o600).map((finding) =>
    finding.fix === undefined
      ? finding
      : {
          ...finding,
          fix: () => {
            fs.rmSync(path)
            return "it is deleted; the next start of the daemon makes a new one"
          },
        },
  )
}

/** A socket that nobody listens on any more. */
const socket = (address: string): ReadonlyArray<Finding> => {
  if (!address.startsWith("unix:")) return []
  const path = address.slice("unix:".length)
  if (statOf(path)?.isSocket() !== true) return []
  return [
    {
      what: "socket",
      level: "bad",
      sentence: `${path} is left over from a daemon that is gone.`,
      fix: removing(path),
    },
  ]
}

const daemon = async (root: string, world: World): Promise<ReadonlyArray<Finding>> => {
  const file = ownerFile(root)
  const owner = ownerOf(root)
  const what = "daemon"
  if (owner === undefined) {
    return statOf(file) === undefined
      ? [{ what, level: "note", sentence: `No daemon is running; start one: ${howToStart(root, world)}` }]
      : [{ what, level: "bad", sentence: `${file} cannot be understood.`, fix: removing(file) }]
  }
  if (!isAlive(owner)) {
    const sentence = `The daemon with pid ${owner.pid} is gone and did not tidy up. Its jobs are kept; the next daemon finds them.`
    return [{ what, level: "bad", sentence, fix: removing(file) }, ...socket(owner.address ?? "")]
  }
  if (owner.address === undefined) {
    return [{ what, level: "note", sentence: `The daemon with pid ${owner.pid} is starting.` }]
  }
  const where = `The daemon with pid ${owner.pid} at ${owner.address}`
  try {
    const { value } = await at(placeOf(root, world), world).call("health", {}, { patience: 5_000 })
    if (value.pid === owner.pid)
      return [{ what, level: "ok", sentence: `${where} answers (version ${value.version}).` }]
    return [
      {
        what,
        level: "bad",
        sentence: `${where} is not the one that answers there, which has pid ${value.pid}.`,
      },
    ]
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return [{ what, level: "bad", sentence: `${where} does not answer: ${error.message}` }]
  }
}

/** Whether the jobs can be asked for, and what was set aside because it could not be read. */
const jobs = async (root: string, world: World): Promise<ReadonlyArray<Finding>> => {
  try {
    const { value } = await at(placeOf(root, world), world).call(
      "list",
      { query: { limit: 1 } },
      { patience: 10_000 },
    )
    const sentence = value.jobs.length === 0 ? "There are none yet." : "They can be listed."
    return [{ what: "jobs", level: "ok", sentence }]
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return [{ what: "jobs", level: "bad", sentence: error.message }]
  }
}

/** What jobs left running, and records that could not be read. */
const leftovers = async (root: string, world: World): Promise<ReadonlyArray<Finding>> => {
  try {
    const { value } = await at(placeOf(root, world), world).call("leftovers", {}, { patience: 10_000 })
    const strays = value.strays.map(({ command, job_id, pid }) => ({
      what: "stray",
      level: "note" as const,
      sentence: `Process ${pid} (${command}) outlives its job; end it with: holdfast kill ${job_id}${rootOption(root, world)}`,
    }))
    const unreadable = value.unreadable.map(({ found_at, job_id, reason }) => ({
      what: "record",
      level: "note" as const,
      sentence: `The record of ${job_id === undefined ? "a job" : `job ${job_id}`} could not be read and was set aside at ${found_at}: ${reason}.`,
    }))
    return [...strays, ...unreadable]
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return [{ what: "leftovers", level: "bad", sentence: error.message }]
  }
}

/** Copies of a damaged store that a daemon set aside. */
const aside = (root: string): ReadonlyArray<Finding> =>
  looking(root, () => fs.readdirSync(root))
    .filter((name) => /corrupt|damaged|aside/.test(name))
    .map((name) => ({
      what: "store",
      level: "note",
      sentence: `${root}/${name} was set aside because it was damaged. Delete it when nothing in it is missed.`,
    }))

/** Units that are not up, though somebody wants them up. */
const units = async (root: string, world: World): Promise<ReadonlyArray<Finding>> => {
  try {
    const { value } = await at(placeOf(root, world), world).call("units", {}, { patience: 10_000 })
    const option = rootOption(root, world)
    const found = value.units.flatMap(({ desired, failure, name, reason, state }): ReadonlyArray<Finding> => {
      // What fails for want of another unit is told with that one.
      const isCause = state === "failed" && failure?.kind !== "DependencyFailed"
      if (desired !== "up" || (!isCause && state !== "backoff" && state !== "degraded")) return []
      const word = state === "backoff" ? "keeps failing" : state === "degraded" ? "is not well" : "has failed"
      const sentence = `The unit ${name} ${word}. ${reason ?? ""} More: holdfast why ${name}${option}`
      return [{ what: "unit", level: isCause ? "bad" : "note", sentence }]
    })
    const up = value.units.filter(({ state }) => state === "ready").length
    if (value.units.length === 0 || found.length > 0) return found
    return [
      { what: "units", level: "ok", sentence: `${up} of ${value.units.length} are up, and none has failed.` },
    ]
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return [{ what: "units", level: "bad", sentence: error.message }]
  }
}

/** Looks at a root, and repairs what can be repaired. */
export const doctor: Handler<typeof Syntaxes.doctor> = async ({ options }, world) => {
  const root = rootOf(options.root, world)
  const findings: Array<Finding> = []
  const place = looking(root, () => fs.statSync(root, { throwIfNoEntry: false }))
  if (place?.isDirectory() === false) {
    findings.push({ what: "root", level: "bad", sentence: `${root} is no directory; choose another root.` })
  } else if (place === undefined) {
    findings.push({
      what: "root",
      level: "note",
      sentence: `${root} is not there yet; the first daemon makes it.`,
    })
  } else {
    findings.push(...isPrivate("root", fs.realpathSync(root), 0o700), ...disk(root), ...token(root))
    const found = await daemon(root, world)
    findings.push(...found, ...aside(root), ...LeftUnits.find(root))
    if (found[0]?.level === "ok") {
      findings.push(...(await jobs(root, world)), ...(await leftovers(root, world)))
      findings.push(...(await units(root, world)))
    }
  }
  const results: Array<Result> = []
  for (const { fix, ...finding } of findings) {
    const isFixable = fix !== undefined && finding.level === "bad"
    if (!isFixable || !options.fix) {
      results.push({ ...finding, fixable: isFixable })
      continue
    }
    try {
      results.push({ ...finding, fixable: true, fixed: await fix() })
    } catch (error) {
      const sentence = `${finding.sentence} It could not be repaired (${because(error)}).`
      results.push({ ...finding, fixable: false, sentence })
    }
  }
  const isWell = results.every(({ fixed, level }) => level !== "bad" || fixed !== undefined)
  if (options.json) {
    const envelope = {
      schema_version: "1",
      ok: true,
      type: "doctor",
      root,
      healthy: isWell,
      findings: results,
    }
    await world.out.write(`${JSON.stringify(envelope)}\n`)
    return isWell ? exitCode.ok : exitCode.failed
  }
  const paint = painterOf(world.out, world)
  const colours = { ok: "green", note: "yellow", bad: "red" } as const
  for (const { fixable, fixed, level, sentence, what } of results) {
    const done = fixed !== undefined ? ` Repaired: ${fixed}.` : fixable ? " Repair it with --fix." : ""
    await world.out.write(
      `${paint(colours[level], level.padEnd(4))}  ${what}: ${printable(sentence)}${done}\n`,
    )
  }
  return isWell ? exitCode.ok : exitCode.failed
}
