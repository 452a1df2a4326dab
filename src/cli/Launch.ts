/** Starts a daemon in the background when a root has none. */
import * as fs from "node:fs"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as Directory from "../process/Directory.js"
import type { Client } from "./Client.js"
import { connect } from "./Client.js"
import { isAlive, logFile, ownerOf } from "./Root.js"
import { Unreachable } from "./Transport.js"
import type { World } from "./World.js"
import { Failure } from "./World.js"

/** How long a daemon may take to answer, in milliseconds: it may have a big store to look through. */
const patience = 30_000
/** How long after the death of ours another daemon may take to show up. */
const graceForAnother = 2_000

/** Marks of the process that we may be running in: what a daemon starts is not a part of that. */
const marks = new Set(["HOLDFAST_OWNER", "HOLDFAST_LINEAGE", "HOLDFAST_UNIT", "HOLDFAST_JOB"])

/** A client of the root's daemon, which is started, and told of, if there is none. */
export const ensure = async (root: string, world: World): Promise<Client> => {
  const present = await living(root, world)
  if (present !== undefined) return present
  const { client, isOurs } = await launch(root, world)
  if (isOurs) {
    const { pid } = ownerOf(root) ?? {}
    await world.err.write(`Started a daemon for ${root}: pid ${pid}, ${client.place.address}\n`)
  }
  return client
}

/** A client if a daemon answers there. One that is there and does not answer is an error of its own. */
const living = async (root: string, world: World): Promise<Client | undefined> => {
  try {
    const client = connect(root, world)
    await client.call("health", {}, { patience: 5_000 })
    return client
  } catch (error) {
    if (!(error instanceof Unreachable) || error.reason === "ETIMEDOUT") throw error
    return undefined
  }
}

const launch = async (root: string, world: World) => {
  const { spawn } = await import("node:child_process")
  const log = openLog(root)
  const [node, file] = world.program
  const env = Object.fromEntries(Object.entries(world.env).filter(([name]) => !marks.has(name)))
  const child = spawn(node, [file, "serve", "--root", root, "--bind", "auto"], {
    cwd: "/",
    env,
    detached: true,
    stdio: ["ignore", log.descriptor, log.descriptor],
  })
  fs.closeSync(log.descriptor)
  let ended: { readonly since: number; readonly how: string } | undefined
  const end = (how: string) => (ended ??= { since: performance.now(), how })
  child.on("error", (error) => end(error.message))
  child.on("exit", (code, signal) => end(signal === null ? `exit code ${code}` : signal))
  child.unref()

  const begin = performance.now()
  for (let pause = 10; ; pause = Math.min(pause * 1.3, 100)) {
    await sleep(pause)
    const owner = ownerOf(root)
    if (owner?.address !== undefined) {
      try {
        const client = connect(root, world)
        await client.call("health", {}, { patience: 5_000 })
        return { client, isOurs: owner.pid === child.pid }
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error
      }
    }
    const now = performance.now()
    // Two that start at once: the lock decides, and whoever lost it waits for the other.
    const isAnothers = owner !== undefined && owner.pid !== child.pid && isAlive(owner)
    if (ended !== undefined && !isAnothers && now - ended.since > graceForAnother) {
      throw new Failure(`The daemon did not start (${ended.how}). ${log.said()}`, "unreachable")
    }
    if (now - begin > patience) {
      throw new Failure(
        `The daemon (pid ${child.pid}) does not answer after ${patience / 1_000} s. ${log.said()}`,
        "unreachable",
        true,
      )
    }
  }
}

/** The log, and what the daemon will have said in it. */
const openLog = (root: string) => {
  const file = logFile(root)
  try {
    Directory.make(root, 0o700)
    const descriptor = fs.openSync(file, "a", 0o600)
    const begin = fs.fstatSync(descriptor).size
    return {
      descriptor,
      said: () => {
        const text = fs.readFileSync(file).subarray(begin).toString("utf8").trim()
        return text === ""
          ? `It left nothing in ${file}.`
          : `The end of ${file}: ${text.split("\n").slice(-5).join(" | ").slice(-1_000)}`
      },
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new Failure(
      `No daemon can be started for ${path.resolve(root)}: ${file} cannot be written (${code ?? message}).`,
      "unreachable",
    )
  }
}
