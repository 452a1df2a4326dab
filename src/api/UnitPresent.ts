/** Units as the API shows them. */
import type { LogGap, LogLine } from "../output/LogLine.js"
import type { Explanation } from "../unit/Explanation.js"
import type { PlanDiff } from "../unit/PlanDiff.js"
import type { UnitStatus } from "../unit/UnitStatus.js"
import { maybeTime, time } from "./Present.js"
import type * as Answers from "./UnitAnswers.js"

/** Where a unit is. Fields that are undefined are not sent. */
export const unit = (one: UnitStatus): Answers.UnitInfo => ({
  name: one.name,
  kind: one.kind,
  description: one.description,
  state: one.state,
  reason: one.reason,
  desired: one.desired,
  since: time(one.since),
  generation: one.generation,
  ownership: one.ownership,
  pid: one.pid,
  started_at: maybeTime(one.startedAt),
  ready_at: maybeTime(one.readyAt),
  restart_at: maybeTime(one.restartAt),
  failures: one.failures,
  restarts: one.restarts,
  end: one.end && { exit_code: one.end.code, signal: one.end.signal, result: one.end.result },
  failure: one.failure && { ...one.failure, at: time(one.failure.at) },
  port: one.port,
  url: one.url,
  outputs: one.outputs,
  command: one.command,
})

/** Why a unit is not up. */
export const why = ({ chain, isUp, state, unit: name }: Explanation) => ({ name, state, is_up: isUp, chain })

/** What a reload does. */
export const diff = ({ added, changed, follows, groups, removed, unchanged }: PlanDiff) => ({
  added,
  removed,
  changed,
  unchanged,
  follows,
  groups,
})

/** A line of a unit's output. */
export const line = (one: LogLine): Answers.UnitLine => ({
  seq: one.seq,
  at: time(one.at),
  stream: one.stream,
  text: one.text,
  ...(one.continued ? { continued: true } : {}),
  generation: one.generation,
})

/** What stands where lines are missing. */
export const missed = ({ missedLines, next }: LogGap): Answers.Missed => ({ count: missedLines, next })
