/** What the beating has found, each as small as it could be made, against the built program. */
import * as path from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { open } from "./chaos.js"
import { library } from "./clock.js"
import type { FaultName } from "./plan.js"
import { type World, sleep } from "./world.js"

const program = path.resolve(import.meta.dirname, "../../dist/main.js")

const closings: Array<() => void> = []

afterEach(() => {
  for (const close of closings.splice(0)) close()
})

/** A place where these faults can be had, with a daemon on it. */
const begin = async (...faults: ReadonlyArray<FaultName>): Promise<World> => {
  const { close, world } = open({ seed: 0, operations: 0, program, faults, log: () => {} })
  closings.push(close)
  await world.daemon.start()
  return world
}

/** Runs a command as a job; answers where it is after five seconds at the latest. */
const run = async ({ daemon, place }: World, job: object) => {
  const env = { LD_PRELOAD: "" }
  const body = { cwd: place.desk, env, wait: true, until_ms: 5_000, ...job }
  const answer = await daemon.ask("POST", "/exec", { body })
  expect(answer.status).toBe(200)
  const { body: status } = await daemon.ask("GET", `/status/${answer.body.job_id}`)
  return status as { readonly state: string; readonly job_id: string; readonly finished_at?: string }
}

/** Sets the daemon's clock, and waits until it goes by it. */
const setClock = async (world: World, seconds: number): Promise<void> => {
  world.shortages.clock!.set(seconds)
  for (let round = 0; round < 100; round++) {
    const { finished_at: at } = await run(world, { command: ["true"] })
    if (Math.abs(Date.parse(at!) - Date.now() - seconds * 1_000) < 10_000) return
    await sleep(100)
  }
  throw new Error(`the daemon's clock was not set to ${seconds} s`)
}

describe.runIf(library() !== undefined)("a clock that was set forward and back", { timeout: 60_000 }, () => {
  // Seed 2: an id never goes back, and the delay was counted from the time in it.
  it("delays a job by its delay", async () => {
    const world = await begin("clock")
    await setClock(world, 3_600)
    await setClock(world, 0)
    expect(await run(world, { command: ["true"], delay_ms: 100 })).toMatchObject({ state: "exited" })
  })

  // Seed 2: the time that it waits for is stored as one of the wall clock.
  it("delays a job by no more than its delay, also if another daemon starts it", async () => {
    const world = await begin("clock")
    await setClock(world, 3_600)
    const { job_id: id } = await run(world, { command: ["true"], delay_ms: 8_000, until_ms: 0 })
    await world.daemon.kill()
    world.shortages.clock!.set(0)
    await world.daemon.start()
    const { body } = await world.daemon.ask("GET", `/wait/${id}?until_ms=15000`)
    expect(body).toMatchObject({ state: "exited" })
  })
})
