/** What must be true of the jobs: which were accepted, what was done to them, and what they noted of themselves. */
import * as fs from "node:fs"
import { type JobKind, expected } from "./jobs.js"

/** What was done to a job, so that it may end otherwise than by itself. */
export type Touch = "cancelled" | "signalled" | "struck" | "keeper" | "repeated"

/** A job that was asked for. */
export interface Job {
  readonly token: number
  readonly kind: JobKind
  readonly code: number
  readonly keyed: boolean
  /** Known once it was accepted. Undefined: there was no answer yet, or there never will be one. */
  id: string | undefined
  /** The daemon said that it has not accepted it. */
  refused: boolean
  readonly touches: Set<Touch>
  /** A repetition of an earlier one, which has its token. */
  readonly isCopy: boolean
  /** Looked at after its end, and found as it should be, or told of. */
  verified: boolean
  /** Deleted because we asked for it. */
  forgotten: boolean
}

/** What one attempt noted. */
export interface Noted {
  begun: number
  ended: Array<number>
}

/** All jobs of a run, and their ledger. */
export class Model {
  readonly jobs: Array<Job> = []
  /** By `ID.ATTEMPT`. */
  readonly noted = new Map<string, Noted>()
  /** The ids that noted themselves under a token. */
  readonly idsOf = new Map<number, Set<string>>()
  private offset = 0
  private rest = ""

  constructor(private readonly ledger: string) {}

  add(given: Pick<Job, "token" | "kind" | "code" | "keyed"> & { readonly isCopy?: boolean }): Job {
    const job: Job = {
      isCopy: false,
      ...given,
      id: undefined,
      refused: false,
      touches: new Set(),
      verified: false,
      forgotten: false,
    }
    this.jobs.push(job)
    return job
  }

  /** Those that were accepted, and were not looked at after their end. */
  get open(): ReadonlyArray<Job> {
    return this.jobs.filter(({ forgotten, id, verified }) => id !== undefined && !verified && !forgotten)
  }

  /** The one that stands there, of the latest. Undefined: there is none. */
  at(place: number, among: (job: Job) => boolean = () => true): Job | undefined {
    const known = this.jobs.slice(-60).filter((job) => job.id !== undefined && !job.forgotten && among(job))
    return known[Math.floor(place * known.length)]
  }

  byId(id: string): Job | undefined {
    return this.jobs.findLast((job) => job.id === id)
  }

  /** Reads what was noted since. */
  read(): void {
    const descriptor = fs.openSync(this.ledger, "r")
    try {
      const bytes = Buffer.alloc(fs.fstatSync(descriptor).size - this.offset)
      fs.readSync(descriptor, bytes, 0, bytes.length, this.offset)
      this.offset += bytes.length
      const lines = (this.rest + bytes.toString("latin1")).split("\n")
      this.rest = lines.pop()!
      for (const line of lines) this.note(line)
    } finally {
      fs.closeSync(descriptor)
    }
  }

  private note(line: string): void {
    const [what, token, mark, value] = line.split(" ")
    const noted = this.noted.get(mark!) ?? { begun: 0, ended: [] }
    this.noted.set(mark!, noted)
    const ids = this.idsOf.get(Number(token)) ?? new Set()
    this.idsOf.set(Number(token), ids.add(mark!.split(".")[0]!))
    if (what === "b") noted.begun += 1
    else noted.ended.push(Number(value))
  }
}

/** What the record of a job says, as far as it is looked at. */
export interface Recorded {
  readonly job_id: string
  readonly state: string
  readonly cause?: string
  readonly exit_code?: number
  readonly signal?: string
  readonly error?: string
  readonly reason?: string
  readonly attempts: ReadonlyArray<{
    readonly number: number
    readonly state: string
    readonly exit_code?: number
    readonly cause?: string
    readonly stdout_bytes?: number
  }>
}

/** Whether a state is for ever. */
export const isOver = (state: string): boolean => !["created", "queued", "running"].includes(state)

/** What is wrong with the number of times that a job began. */
export const onceFaults = (job: Job, record: Recorded, noted: Model["noted"]): ReadonlyArray<string> => {
  const faults: Array<string> = []
  const about = (number: number) => noted.get(`${record.job_id}.${number}`) ?? { begun: 0, ended: [] }
  const allowed = job.kind === "retried" ? 3 : 1
  const ran = record.attempts.filter(({ state }) => state !== "withdrawn")
  if (ran.length > allowed) faults.push(`it has ${ran.length} attempts, and may have ${allowed}`)
  for (const { number, state } of record.attempts) {
    const { begun } = about(number)
    if (begun > 1) faults.push(`attempt ${number} began ${begun} times`)
    if (state === "withdrawn" && begun > 0) faults.push(`attempt ${number} began, and is withdrawn`)
  }
  for (const mark of noted.keys()) {
    const [id, number] = mark.split(".")
    if (id === record.job_id && !record.attempts.some((attempt) => attempt.number === Number(number)))
      faults.push(`attempt ${number} began, and is not in the record`)
  }
  return faults
}

/** What is wrong with how a job ended. */
export const resultFaults = (job: Job, record: Recorded, noted: Model["noted"]): ReadonlyArray<string> => {
  const { cause, exit_code: code, state } = record
  const faults: Array<string> = []
  for (const attempt of record.attempts) {
    const { ended } = noted.get(`${record.job_id}.${attempt.number}`) ?? { ended: [] }
    if (ended.length > 1) faults.push(`attempt ${attempt.number} ended ${ended.length} times`)
    if (attempt.state === "exited" && attempt.cause === "exit" && job.touches.size === 0) {
      if (ended[0] !== attempt.exit_code)
        faults.push(
          `attempt ${attempt.number} noted ${String(ended[0])}, and has ${String(attempt.exit_code)}`,
        )
    }
  }
  if (state === "failed" || (state === "lost" && !job.touches.has("keeper"))) faults.push("it could be run")
  if (job.touches.size > 0) return faults
  const wanted = expected(job.kind, job.code)
  if (state !== wanted.state || cause !== wanted.cause)
    faults.push(`it was to be ${wanted.state} by ${wanted.cause}`)
  if (wanted.code !== undefined && code !== wanted.code) faults.push(`it was to exit with ${wanted.code}`)
  return faults
}
