/** Quiet points: no more faults, everything settles, and then it is looked at closely. */
import { killPid } from "../process/killPid.js"
import { type UnitInfo, instancesOf } from "./checks.js"
import { independent } from "./desires.js"
import { floodBytes } from "./jobs.js"
import { type Job, type Recorded, isOver, onceFaults, resultFaults } from "./model.js"
import { ask, operate } from "./operate.js"
import { type Seen, descriptors, isAlive, residentMegabytes } from "./processes.js"
import { goOn, revive } from "./strike.js"
import { mayFail, unitNames } from "./units.js"
import { type World, sleep } from "./world.js"

/** What a daemon holds at a quiet point. */
export interface Measured {
  readonly pid: number
  /** After its garbage was collected. */
  readonly megabytes: number
  readonly descriptors: number
  readonly step: number
}

/** How long everything may take to settle, in milliseconds: the launcher rests for up to half a minute. */
const settlePatience = 45_000

/** How long all units may take to come up. */
const upPatience = 20_000

const passing: ReadonlySet<string> = new Set(["starting", "stopping", "blocked"])

/** Looks at everything again and again until there is nothing to say against it, at most for so long. */
const until = async <A>(
  patience: number,
  look: () => Promise<{ readonly value: A; readonly against: ReadonlyArray<string> }>,
): Promise<{ readonly value: A; readonly against: ReadonlyArray<string> }> => {
  const end = performance.now() + patience
  while (true) {
    const found = await look()
    if (found.against.length === 0 || performance.now() > end) return found
    await sleep(100)
  }
}

const unitsOf = async (world: World): Promise<ReadonlyArray<UnitInfo>> => {
  const answer = await ask(world, "GET", "/units")
  return answer.status === 200 ? (answer.body.units as ReadonlyArray<UnitInfo>) : []
}

/** Units that go up and down by their nature are never at rest. */
const isRestless = ({ name }: { readonly name: string }) => name === "crasher" || name === "brittle"

/**
 * Whether an operation may have brought this failure about. Whoever sends a unit INT may have it end with success: before
 * it is ready that is a failure, and later one of what needs it. It stays failed until somebody starts it.
 */
const isBroughtAbout = ({ failure }: UnitInfo): boolean =>
  ["DependencyFailed", "EarlyExit"].includes(failure?.kind ?? "") &&
  /with exit code 0\b/.test(failure!.message)

/** What is not so of the units: each that is up has one instance with its pid, each that is down has none. */
const unitFaults = (units: ReadonlyArray<UnitInfo>, seen: ReadonlyArray<Seen>): ReadonlyArray<string> => {
  const faults: Array<string> = []
  const instances = instancesOf(seen.filter(isAlive))
  for (const unit of units) {
    const { name, pid, reason, state } = unit
    const marks = [...(instances.get(name)?.values() ?? [])]
    instances.delete(name)
    if (isRestless(unit)) continue
    if (
      unit.desired === "up" &&
      (state === "inactive" || (state === "failed" && !mayFail.has(name) && !isBroughtAbout(unit)))
    )
      faults.push(`unit ${name} is wanted up, and is ${state}: ${reason ?? unit.failure?.message ?? ""}`)
    if (passing.has(state) || (state === "backoff" && name !== "web")) {
      faults.push(`unit ${name} is ${state}: ${reason ?? ""}`)
    } else if (state === "ready" && unit.kind !== "target") {
      if (marks.length !== 1) faults.push(`unit ${name} is up, and has ${marks.length} instances`)
      else if (!marks[0]!.some((one) => one.pid === pid))
        faults.push(`unit ${name} is up with pid ${String(pid)}, which is not of its instance`)
    } else if (state !== "degraded" && marks.length > 0) {
      faults.push(
        `unit ${name} is ${state}, and has ${marks
          .flat()
          .map(({ command, pid }) => `${command} (${pid})`)
          .join(", ")}`,
      )
    } else if (state === "degraded" && unit.kind !== "target") {
      faults.push(`unit ${name} is degraded: ${reason ?? ""}`)
    }
  }
  for (const [name] of instances) faults.push(`unit ${name} is not known, and has processes`)
  return faults
}

/** Starts what waits to be started, and gives jobs that nobody got an answer about their ids. */
const findJobs = async (world: World): Promise<void> => {
  const { model } = world
  for (const job of model.jobs) {
    if (job.id !== undefined || job.refused || job.isCopy) continue
    const answer = await ask(world, "GET", `/jobs?tag=token-${job.token}`)
    if (answer.status !== 200) continue
    // The oldest of them: the others repeat it.
    const found = (answer.body.jobs as ReadonlyArray<{ readonly job_id: string }>).at(-1)
    if (found === undefined) job.refused = true
    else job.id = found.job_id
  }
  for (const job of model.open) {
    if (job.kind === "prepared") await ask(world, "POST", `/start/${job.id!}`, { codes: ["invalid_state"] })
  }
}

const verify = (world: World, job: Job, record: Recorded, disk: boolean): void => {
  const { model, verdicts } = world
  const about = (faults: ReadonlyArray<string>) => () =>
    `job ${record.job_id} (${job.kind}, ${[...job.touches].join(" and ") || "left alone"}) is ${record.state} by ${String(record.cause)}: ${faults.join("; ")}. ${JSON.stringify({ code: record.exit_code, signal: record.signal, reason: record.reason, attempts: record.attempts.map(({ cause, exit_code, number, state }) => ({ number, state, cause, exit_code })) })}`
  const once = [...onceFaults(job, record, model.noted)]
  const ids = model.idsOf.get(job.token)
  if (job.keyed && !job.isCopy && !job.touches.has("repeated") && ids !== undefined && ids.size > 1)
    once.push(`its key has ${ids.size} jobs: ${[...ids].join(", ")}`)
  verdicts.expect("once", once.length === 0, about(once))
  const faults = [...resultFaults(job, record, model.noted)]
  const bytes = record.attempts.at(-1)?.stdout_bytes
  if (job.kind === "flood" && job.touches.size === 0 && !disk && bytes !== floodBytes)
    faults.push(`it wrote ${floodBytes} bytes, and has ${String(bytes)}`)
  verdicts.expect("results", faults.length === 0, about(faults))
  job.verified = true
}

/** Waits for all jobs to end, and compares each with what it noted itself. */
const settleJobs = async (world: World, hadFullDisk: boolean): Promise<void> => {
  const { model, verdicts } = world
  const pending = async () => {
    const answer = await ask(world, "GET", "/jobs?state=created,queued,running&limit=1000")
    const jobs =
      answer.status === 200
        ? (answer.body.jobs as ReadonlyArray<{ readonly job_id: string; readonly state: string }>)
        : []
    const against = jobs
      .filter(({ state }) => state !== "created")
      .map(
        ({ job_id, state }) => `job ${job_id} (${model.byId(job_id)?.kind ?? "not ours"}) is ${state} still`,
      )
    return { value: jobs, against: answer.status === 200 ? against : ["the jobs cannot be listed"] }
  }
  await findJobs(world)
  const { against, value: stuck } = await until(settlePatience, pending)
  for (const text of against) verdicts.broken("states", text)
  if (against.length > 0) {
    // It was told of: what comes after is not to wait for it again.
    for (const { job_id: id } of stuck) {
      model.byId(id)?.touches.add("cancelled")
      await ask(world, "POST", `/kill/${id}?grace_ms=0`, { codes: ["invalid_state"] })
    }
    await until(settlePatience, pending)
  }
  model.read()
  for (const job of model.open) {
    const answer = await ask(world, "GET", `/jobs/${job.id!}`, { codes: ["job_not_found"] })
    const isThere = verdicts.expect(
      "accepted",
      answer.status === 200,
      () => `job ${job.id!} (${job.kind}) was accepted, and is not there: ${JSON.stringify(answer)}`,
    )
    if (!isThere) {
      job.verified = true
      continue
    }
    const record = answer.body as Recorded
    if (isOver(record.state)) verify(world, job, record, hadFullDisk)
  }
}

/** What jobs left that were struck: the daemon lists just these, and then they are ended by hand. */
const clearStrays = async (world: World): Promise<void> => {
  const { verdicts, watch } = world
  const strays = () => watch.look().filter((one) => one.role._tag === "Job" && isAlive(one))
  const { against } = await until(3_000 + world.slack, async () => {
    const before = strays()
    const answer = await ask(world, "GET", "/leftovers")
    const after = strays()
    const listed =
      answer.status === 200
        ? (answer.body.strays as ReadonlyArray<{ readonly pid: number }>).map(({ pid }) => pid)
        : []
    return {
      value: undefined,
      against: before
        .filter(
          (one) => isAlive(one) && after.some(({ pid }) => pid === one.pid) && !listed.includes(one.pid),
        )
        .map(({ command, pid }) => `${command} (${pid}) is left of a job, and not listed`),
    }
  })
  verdicts.check("owners")
  for (const text of against) verdicts.broken("owners", text)
  for (const one of strays()) {
    if (one.role._tag !== "Job") continue
    const touches = world.model.byId(one.role.id)?.touches
    if (touches === undefined || touches.size === 0)
      verdicts.broken(
        "owners",
        `${one.command} (${one.pid}) is left of job ${one.role.id}, which nobody touched`,
      )
    try {
      killPid(one.pid, "SIGKILL")
    } catch {
      // It has ended meanwhile.
    }
  }
}

/** Each is up or down as it was asked to be, with nobody asking again. */
const orders = ({ desires, verdicts }: World, units: ReadonlyArray<UnitInfo>): void => {
  for (const { name, reason, state } of units) {
    const wanted = desires.known.get(name)
    if (wanted === undefined) continue
    const isSo = wanted === "up" ? state === "ready" : state === "inactive"
    verdicts.expect(
      "orders",
      isSo,
      () => `unit ${name} was to be ${wanted}, and is ${state}: ${reason ?? ""}`,
    )
  }
}

/** One guardian, at most one keeper, and nothing that nobody knows. */
const helpers = async (world: World): Promise<void> => {
  const { daemon, verdicts, watch } = world
  const { against } = await until(5_000 + world.slack, async () => {
    const seen = watch.look()
    const of = (tag: string) => seen.filter(({ role }) => role._tag === tag)
    const against: Array<string> = []
    for (const tag of ["Guardian", "Keeper"]) {
      const found = of(tag)
      if (found.length > 1)
        against.push(`there are ${found.length} of ${tag}: ${found.map(({ pid }) => pid).join(", ")}`)
    }
    for (const { command, pid } of of("Other")) {
      if (pid !== daemon.life?.pid) against.push(`nobody knows ${command} (${pid})`)
    }
    return { value: undefined, against }
  })
  verdicts.check("owners")
  for (const text of against) verdicts.broken("owners", text)
}

/**
 * Makes all quiet points alike, so that what the daemon holds at them can be compared: the first configuration, and no unit
 * that is up at some of them only. Each one that is up has its own descriptors.
 */
const level = async (world: World): Promise<void> => {
  const within = upPatience
  await operate(world, { _tag: "Reload", variant: 0, untilMillis: within })
  const names = [...mayFail.keys()]
  const stopped = world.desires.order(names, "stop")
  const answer = await ask(world, "POST", "/units", {
    body: { action: "stop", names, until_ms: within },
    within,
  })
  stopped(answer.status === 200)
}

/** What the daemon holds, when it has nothing to do. */
const measure = async (world: World): Promise<Measured | undefined> => {
  const { life } = world.daemon
  if (life === undefined) return undefined
  world.daemon.hangUp()
  let least = Number.POSITIVE_INFINITY
  let fewest = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round++) {
    killPid(life.pid, "SIGUSR2")
    await sleep(200)
    least = Math.min(least, residentMegabytes(life.pid))
    fewest = Math.min(fewest, descriptors(life.pid))
  }
  return { pid: life.pid, megabytes: least, descriptors: fewest, step: world.verdicts.step }
}

/** Everything settles, and is looked at; then everything is started. Answers what the daemon holds in the end. */
export const quiet = async (
  world: World,
  hadFullDisk: boolean,
  settled: Promise<unknown>,
): Promise<Measured | undefined> => {
  const { daemon, shortages, verdicts, watch } = world
  shortages.lift()
  goOn(world)
  // Whatever was asked for before has its answer.
  await settled
  if (daemon.life === undefined) await revive(world)
  goOn(world)
  await settleJobs(world, hadFullDisk)
  await clearStrays(world)
  const { against, value } = await until(settlePatience, async () => {
    const units = await unitsOf(world)
    return { value: units, against: unitFaults(units, watch.look()) }
  })
  verdicts.check("truth", unitNames.length)
  for (const text of against) verdicts.broken("truth", text)
  orders(world, value)
  await helpers(world)

  const started = world.desires.order(
    [...independent].filter((name) => name !== "spare"),
    "start",
  )
  await ask(world, "POST", "/units", {
    body: { action: "start", until_ms: upPatience },
    codes: ["unit_not_started"],
    within: upPatience,
  })
  started(true)
  const up = await until(upPatience, async () => {
    const units = await unitsOf(world)
    const down = units
      .filter(({ name, state }) => !mayFail.has(name) && state !== "ready" && state !== "exited")
      .map(
        ({ failure, name, reason, state }) =>
          `unit ${name} is ${state} after a start: ${reason ?? failure?.message ?? ""}`,
      )
    return { value: units, against: [...down, ...unitFaults(units, watch.look())] }
  })
  verdicts.check("recovery", unitNames.length)
  for (const text of up.against) verdicts.broken("recovery", text)
  await ask(world, "POST", "/gc", { body: { keep: 50 } })
  await level(world)
  const measured = await measure(world)
  await ask(world, "POST", "/units", { body: { action: "start" }, codes: ["unit_not_started"] })
  return measured
}
