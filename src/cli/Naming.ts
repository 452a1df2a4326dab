/** Whose name it is: a unit's, else a job's. */
import { UsageError } from "./Arguments.js"
import type { Client, Reply } from "./Client.js"
import { Refused } from "./Client.js"
import type { Answer } from "./Routes.js"
import { Failure } from "./World.js"

/** What the API says of a unit. */
export type Unit = Answer<"units">["units"][number]

/** What the user said the names are of. */
export interface Forced {
  readonly unit: boolean
  readonly job: boolean
}

/** Names, told apart. */
export interface Named {
  readonly units: ReadonlyArray<string>
  readonly jobs: ReadonlyArray<string>
}

/** As `UnitSpec.isName` has it, without what that needs. */
const isUnitName = (name: string): boolean => /^[A-Za-z0-9][\w.-]{0,63}$/.test(name)

/** Whether it may be the beginning of a job's id, which tells the time in its first characters. */
const isJobId = (name: string): boolean => /^[0-7][0-9A-HJKMNP-TV-Z]{0,25}$/i.test(name)

/** Whether it is a whole id, which no sane unit is named like: then the job is asked for first. */
export const isWholeId = (name: string): boolean => name.length === 26 && isJobId(name)

/** The unit of that name; undefined when there is none, and it may be a job's. */
export const unitOf = async (client: Client, name: string): Promise<Reply<"unit"> | undefined> => {
  if (!isUnitName(name)) return undefined
  try {
    return await client.call("unit", { path: { name } })
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== "unit_not_found") throw error
    if (isJobId(name)) return undefined
    // Where there are units a unit was meant.
    const { units } = (await client.call("units", {})).value
    if (units.length > 0) throw error
    return undefined
  }
}

/** Asks something that is for jobs alone; where a unit was meant, that is said. */
export const ofJob = async <A>(
  client: () => Client,
  name: string,
  command: string,
  ask: () => Promise<A>,
): Promise<A> => {
  try {
    return await ask()
  } catch (error) {
    const isNoJob =
      error instanceof Refused && (error.code === "job_not_found" || error.code === "invalid_request")
    const unit = isNoJob ? await unitOf(client(), name).catch(() => undefined) : undefined
    if (unit === undefined) throw error
    throw new Failure(
      `${name} is a unit, and ${command} is for jobs. How it is: holdfast status ${name}`,
      "job_not_found",
    )
  }
}

/** Throws a `UsageError` where both were said. */
export const checkForced = ({ job, unit }: Forced): void => {
  if (unit && job) throw new UsageError("--unit and --job exclude each other")
}

/** Tells names of units from ids of jobs. */
export const split = async (client: Client, names: ReadonlyArray<string>, forced: Forced): Promise<Named> => {
  checkForced(forced)
  if (forced.unit) return { units: names, jobs: [] }
  if (forced.job) return { units: [], jobs: names }
  const found = await Promise.all(names.map((name) => unitOf(client, name)))
  return {
    units: names.filter((_, index) => found[index] !== undefined),
    jobs: names.filter((_, index) => found[index] === undefined),
  }
}
