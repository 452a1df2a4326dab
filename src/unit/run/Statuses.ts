/** A unit as it is shown, out of its state and what is known of its instance. */
import * as Authority from "../../probe/Authority.js"
import * as Mask from "../../process/Mask.js"
import { hasProcess } from "../UnitSpec.js"
import type { UnitState } from "../UnitState.js"
import type { FailureStatus, UnitStatus } from "../UnitStatus.js"
import * as Phases from "./Phases.js"
import * as Ports from "./Ports.js"
import type { PortOf } from "./Ports.js"
import type { UnitContext } from "./UnitContext.js"

/** What a unit's history adds to its state. */
export interface History {
  /** Since when it is in its phase, in milliseconds since the epoch. */
  since: number
  failure: FailureStatus | undefined
}

const ownershipOf = (spec: UnitContext["spec"], { adopted }: UnitState): UnitStatus["ownership"] =>
  spec.kind === "external" || adopted ? "external" : hasProcess(spec) ? "launched" : undefined

/** What it runs, as it may be shown. */
const commandOf = ({ facts, spec }: UnitContext, port: number | undefined, portOf: PortOf) => {
  if (spec.command === undefined) return undefined
  if (facts.process !== undefined) return facts.process.command
  const redact = Mask.ofInput({ mask: spec.mask, env: Ports.variablesOf(spec, port, portOf) })
  return Mask.formatCommand(Ports.commandOf(spec, port, portOf), redact)
}

/** Where it answers, as far as its spec says so. */
const urlOf = ({ spec }: UnitContext, port: number | undefined): string | undefined => {
  if (spec.url !== undefined) return spec.url
  const { http } = spec.readiness ?? spec.liveness ?? spec.startup ?? {}
  if (http === undefined) return undefined
  if (http.url !== undefined) return new URL(http.url).origin
  const at = http.port ?? port
  const host = http.host ?? spec.host ?? "localhost"
  return at === undefined ? undefined : `http://${Authority.bracketed(host)}:${at}`
}

/** Leaves out what is undefined. */
const defined = <A extends object>(fields: A): { [K in keyof A]: Exclude<A[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never

/** The status of a unit. */
export const make = (
  context: UnitContext,
  state: UnitState,
  history: History,
  portOf: PortOf,
): UnitStatus => {
  const { facts, name, spec } = context
  const { phase } = state
  const port = portOf(name)
  return {
    name,
    kind: spec.kind,
    state: Phases.nameOf(state),
    desired: state.desired,
    since: history.since,
    generation: state.generation,
    failures: state.failures,
    restarts: state.restarts,
    outputs: facts.outputs,
    ...defined({
      description: spec.description,
      reason: Phases.reasonOf(state),
      ownership: ownershipOf(spec, state),
      pid: state.live && !state.adopted ? facts.process?.pid : undefined,
      startedAt: facts.startedAt,
      readyAt: facts.readyAt,
      restartAt: phase._tag === "Backoff" ? phase.until : undefined,
      end: state.end === undefined ? undefined : Phases.endStatus(state.end),
      failure: state.failure === undefined ? undefined : history.failure,
      port,
      url: urlOf(context, port),
      command: commandOf(context, port, portOf),
    }),
  }
}
