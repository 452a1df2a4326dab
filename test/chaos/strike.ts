/** Deaths and blows from outside: of units, of jobs, of the daemon and what it has beside it. */
import { killPid } from "../process/killPid.js"
import type { Action } from "./plan.js"
import { type Seen, isAlive } from "./processes.js"
import { type World, sleep } from "./world.js"

type Of<Tag extends Action["_tag"]> = Extract<Action, { readonly _tag: Tag }>

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    killPid(pid, name)
  } catch {
    // It has ended meanwhile.
  }
}

/** Kills or stops a process of a unit or a job, or its whole group. */
export const strike = (world: World, { at, fault, group }: Of<"Strike">): string => {
  const targets = world.watch.look().filter(({ role }) => role._tag === "Unit" || role._tag === "Job")
  const target = targets[Math.floor(at * targets.length)]
  if (target === undefined || !isAlive(target)) return "nobody is there"
  const { pid, role } = target
  if (role._tag === "Job") world.model.byId(role.id)?.touches.add("struck")
  // A leader's pid is its group's.
  signal(group && target.isLeader ? -pid : pid, fault === "kill" ? "SIGKILL" : "SIGSTOP")
  return `${role._tag === "Unit" ? role.name : role._tag === "Job" ? role.id : ""} pid ${pid}: ${target.command}`
}

const of = (seen: ReadonlyArray<Seen>, tag: "Guardian" | "Keeper") =>
  seen.filter(({ role }) => role._tag === tag)

/** All jobs that run may be lost when their keeper is. */
const loseKeeper = (world: World, seen: ReadonlyArray<Seen>): void => {
  world.keeperKilledAt = performance.now()
  for (const job of world.model.jobs) if (!job.verified) job.touches.add("keeper")
  for (const { pid } of of(seen, "Keeper")) signal(pid, "SIGKILL")
}

/** Starts a daemon; one that cannot while there is a shortage is started again when there is none. */
export const revive = async (world: World): Promise<void> => {
  const { daemon, shortages, verdicts } = world
  world.desires.forget()
  try {
    await daemon.start()
    verdicts.check("life")
    return
  } catch (cause) {
    if (shortages.current === undefined) {
      verdicts.expect("life", false, () => `it does not start: ${String(cause)}`)
    } else {
      world.log(`  the daemon did not start while there was a shortage: ${String(cause).slice(0, 200)}`)
    }
  }
  shortages.lift()
  try {
    await daemon.start()
    verdicts.check("life")
  } catch (cause) {
    verdicts.expect("life", false, () => `it does not start, at the second time: ${String(cause)}`)
    throw cause
  }
}

/** After an end in order nothing of the units is left. */
const endInOrder = async (world: World): Promise<void> => {
  const { daemon, shortages, slack, verdicts, watch } = world
  const isShort = shortages.isShort(slack)
  const { how, millis, said } = await daemon.end()
  if (isShort) return
  verdicts.expect("life", how === 0, () => `it ended with ${how}: ${said}`)
  verdicts.expect("life", millis < 5_000 + slack, () => `its end in order took ${Math.round(millis)} ms`)
  const left = watch.look().filter((one) => one.role._tag === "Unit" && isAlive(one))
  verdicts.expect(
    "owners",
    left.length === 0,
    () =>
      `after an end in order there is ${left.map(({ command, pid }) => `${command} (${pid})`).join(", ")}`,
  )
}

/** Ends the daemon, or what it has beside it, and has another daemon started. */
export const die = async (world: World, { fault, gapMillis }: Of<"Death">): Promise<void> => {
  const { daemon, verdicts, watch } = world
  const seen = watch.look()
  if (fault === "guardian-kill") {
    for (const { pid } of of(seen, "Guardian")) signal(pid, "SIGKILL")
    return
  }
  if (fault === "keeper-kill") return loseKeeper(world, seen)
  world.isChanging = true
  world.desires.forget()
  try {
    if (fault === "daemon-end") {
      await endInOrder(world)
    } else {
      if (fault === "all-kill") loseKeeper(world, seen)
      if (fault === "both-kill" || fault === "all-kill") {
        // The guardian must not be replaced before its program is gone.
        if (daemon.life !== undefined) signal(daemon.life.pid, "SIGSTOP")
        for (const { pid } of of(seen, "Guardian")) signal(pid, "SIGKILL")
      }
      await daemon.kill()
      await sleep(gapMillis)
      if (fault === "daemon-kill" && gapMillis >= 1_500) {
        const left = seen.filter((one) => one.role._tag === "Unit" && isAlive(one))
        verdicts.expect(
          "owners",
          left.length === 0,
          () =>
            `${gapMillis} ms after the daemon's death there is ${left.map(({ command, pid }) => `${command} (${pid})`).join(", ")}`,
        )
      }
    }
    await revive(world)
  } finally {
    world.isChanging = false
  }
}

/** Everything that was stopped goes on. */
export const goOn = (world: World): void => {
  for (const { pid, role } of world.watch.look()) {
    if (role._tag === "Unit" || role._tag === "Job") signal(pid, "SIGCONT")
  }
}
