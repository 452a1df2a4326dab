/** Does what the plan says, and judges each answer by itself. */
import * as fs from "node:fs"
import type { Answer, Asking } from "./daemon.js"
import * as Jobs from "./jobs.js"
import { type Job, isOver } from "./model.js"
import type { Action } from "./plan.js"
import { configuration, variants } from "./units.js"
import { type World, isSame, sleep } from "./world.js"

type Of<Tag extends Action["_tag"]> = Extract<Action, { readonly _tag: Tag }>

/** What may be answered beside 200. */
interface Allowed {
  readonly codes?: ReadonlyArray<string>
  /** Within which it has to be answered, in milliseconds. */
  readonly within?: number
}

/** Asks, counts the answer, and judges it. */
export const ask = async (
  world: World,
  method: string,
  target: string,
  asking: Asking & Allowed = {},
): Promise<Answer> => {
  const { answers, daemon, shortages, slack, verdicts } = world
  const { life } = daemon
  const wasShort = shortages.isShort(slack)
  const answer = await daemon.ask(method, target, asking)
  const { code } = answer
  const what = `${method} ${target
    .replaceAll(/[0-9A-Z]{26}/g, "ID")
    .replace(/\?.*/, "")
    .replace(/^\/units\/[^/]+/, "/units/NAME")}`
  answers.set(`${what} ${code}`, (answers.get(`${what} ${code}`) ?? 0) + 1)
  if (!isSame(world, life)) return answer
  const isShort = wasShort || shortages.isShort(slack)
  verdicts.check("answers")
  const said = () =>
    `${method} ${target} was answered ${code} after ${Math.round(answer.millis)} ms${
      answer.status === 0 || answer.status === 200
        ? ""
        : `: ${String(answer.body?.error?.message).slice(0, 300)}`
    }`
  if (code === "CLOSED") return answer
  if (code === "NEVER") verdicts.broken("answers", said())
  else if (answer.status !== 200 && asking.codes?.includes(code) !== true && !isShort)
    verdicts.broken("answers", said())
  else if (asking.within !== undefined && answer.millis > asking.within + slack && !isShort)
    verdicts.broken("answers", `${said()}, which is past ${asking.within} ms`)
  return answer
}

const taken = ({ code }: Answer): boolean => code === "200" || code === "unit_not_started"

const unit = async (world: World, { action, name, untilMillis }: Of<"Unit">) => {
  const answered = world.desires.order([name], action)
  const answer = await ask(world, "POST", `/units/${name}/${action}?until_ms=${untilMillis}`, {
    codes: ["unit_not_started"],
    within: untilMillis,
  })
  answered(taken(answer))
}

const units = async (world: World, { action, names, untilMillis }: Of<"Units">) => {
  const answered = world.desires.order(names, action)
  const answer = await ask(world, "POST", "/units", {
    body: { action, names, until_ms: untilMillis },
    codes: ["unit_not_started"],
    within: untilMillis,
  })
  answered(taken(answer))
}

/** Reads a stream until something came or a while is over, and leaves in the middle of it. */
const follow = (world: World, target: string): Promise<void> =>
  new Promise((resolve) => {
    const request = world.daemon.request("GET", target)
    if (request === undefined) return resolve()
    const done = () => {
      clearTimeout(timer)
      request.destroy()
      resolve()
    }
    const timer = setTimeout(done, 250)
    request.on("error", done)
    request.on("close", done)
    request.on("response", (response) => {
      response.on("error", done)
      response.once("data", done)
    })
  })

const reload = async (world: World, { untilMillis, variant }: Of<"Reload">) => {
  fs.writeFileSync(world.place.config, configuration(variant, filesOf(world)))
  await ask(world, "POST", `/reload?until_ms=${untilMillis}`, {
    codes: ["unit_not_started", ...(variant === variants - 1 ? ["config_invalid"] : [])],
    within: untilMillis,
  })
  // The next daemon has to be able to start.
  if (variant === variants - 1) fs.writeFileSync(world.place.config, configuration(0, filesOf(world)))
}

/** Where the programs of the units are, and what they note themselves in. */
export const filesOf = ({ place }: World) => ({ directory: place.desk, ledger: place.unitLedger })

const exec = async (world: World, { code, keyed, kind }: Of<"Exec">) => {
  const { daemon, model, place } = world
  const token = model.jobs.length + 1
  const job = model.add({ token, kind, code, keyed })
  const before = model.at(0.9, (one) => one !== job && one.kind !== "prepared")
  const body = Jobs.request(kind, {
    token,
    code,
    keyed,
    after: before?.id,
    script: place.jobProgram,
    ledger: place.jobLedger,
    cwd: place.desk,
    run: place.mark,
  })
  for (let round = 0; round < 20; round++) {
    // What it waits for may have been deleted by us meanwhile.
    const answer = await ask(world, "POST", "/exec", { body, codes: ["job_not_found"] })
    if (answer.status === 200) {
      job.id = answer.body.job_id as string
      return
    }
    // With a key the same question may be asked again; without, nobody knows whether it was heard.
    if (answer.status !== 0) {
      job.refused = true
      return
    }
    if (!keyed) return
    await sleep(100)
    for (let wait = 0; wait < 100 && daemon.life === undefined; wait++) await sleep(50)
  }
}

const withJob = async (
  { model }: World,
  at: number,
  use: (job: Job, id: string) => Promise<unknown>,
  among?: (job: Job) => boolean,
): Promise<void> => {
  const job = model.at(at, among)
  if (job?.id !== undefined) await use(job, job.id)
}

/** A job may be deleted by us at any time. */
const gone = ["job_not_found"]

const wait = (world: World, { at, leave, untilMillis }: Of<"Wait">) =>
  withJob(world, at, (_, id) =>
    leave
      ? follow(world, `/wait/${id}`)
      : ask(world, "GET", `/wait/${id}?until_ms=${untilMillis}`, { codes: gone, within: untilMillis }),
  )

const jobLogs = (world: World, { at, how }: Of<"JobLogs">) =>
  withJob(world, at, (_, id) => {
    if (how === "follow") return follow(world, `/follow/${id}`)
    const target = how === "tail" ? `/tail/${id}` : `/log/${id}?max_bytes=4096`
    return ask(world, "GET", target, { codes: gone })
  })

const again = (world: World, at: number) =>
  withJob(world, at, async (job, id) => {
    job.touches.add("repeated")
    const copy = world.model.add({
      token: job.token,
      kind: job.kind,
      code: job.code,
      keyed: false,
      isCopy: true,
    })
    const answer = await ask(world, "POST", `/restart/${id}`, { codes: [...gone, "invalid_state"] })
    if (answer.status === 200) copy.id = answer.body.job_id as string
    else if (answer.status !== 0) copy.refused = true
  })

const forget = (world: World, at: number) =>
  withJob(world, at, async (job, id) => {
    const status = await ask(world, "GET", `/status/${id}`, { codes: gone })
    // One that was looked at already: the others are still to be judged by their records.
    if (status.status !== 200 || !isOver(status.body.state as string) || !job.verified) return
    job.forgotten = true
    await ask(world, "DELETE", `/jobs/${id}`, { codes: gone })
  })

const look = (world: World, { at, what }: Of<"Look">) => {
  if (what === "why") return withJob(world, at, (_, id) => ask(world, "GET", `/why/${id}`, { codes: gone }))
  return ask(world, "GET", what === "jobs" ? "/jobs?limit=20" : `/${what}`)
}

/** Does it; resolves when it is answered, or given up. Deaths, shortages and quiet points are not for here. */
export const operate = async (world: World, action: Action): Promise<void> => {
  switch (action._tag) {
    case "Unit":
      await unit(world, action)
      return
    case "Units":
      await units(world, action)
      return
    case "UnitSignal":
      await ask(world, "POST", `/units/${action.name}/kill?signal=${action.signal}`, {
        codes: ["invalid_state"],
      })
      return
    case "UnitLogs":
      if (action.how === "follow") return follow(world, `/units/${action.name}/follow?lines=5`)
      await ask(world, "GET", `/units/${action.name}/logs`)
      return
    case "Reload":
      return reload(world, action)
    case "Exec":
      return exec(world, action)
    case "Wait":
      return wait(world, action)
    case "Cancel":
      return withJob(world, action.at, (job, id) => {
        job.touches.add("cancelled")
        return ask(world, "POST", `/kill/${id}?grace_ms=${action.graceMillis}`, {
          codes: [...gone, "invalid_state"],
          within: action.graceMillis,
        })
      })
    case "JobSignal":
      return withJob(world, action.at, (job, id) => {
        job.touches.add("signalled")
        return ask(world, "POST", `/kill/${id}?signal=${action.signal}`, {
          codes: [...gone, "invalid_state"],
        })
      })
    case "JobLogs":
      return jobLogs(world, action)
    case "JobAgain":
      return again(world, action.at)
    case "JobStart":
      return withJob(
        world,
        action.at,
        (_, id) => ask(world, "POST", `/start/${id}`, { codes: [...gone, "invalid_state"] }),
        ({ kind }) => kind === "prepared",
      )
    case "Forget":
      return forget(world, action.at)
    case "Look":
      await look(world, action)
      return
    default:
      throw new Error(`${action._tag} is no operation`)
  }
}
