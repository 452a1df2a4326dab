/**
 * A managed server as the one unit of a supervisor of its own: started for whoever wants it, within a deadline, and let
 * go with the scope that it was started in.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { UnitLog } from "../output/UnitLog.js"
import * as Authority from "../probe/Authority.js"
import { InvalidSpec } from "../process/InvalidSpec.js"
import type { Process } from "../process/Process.js"
import type { DownInfo, InvalidPlan } from "../unit/Plan.js"
import { endStatus } from "../unit/run/Phases.js"
import { permanentErrors } from "../unit/run/ProcessInstance.js"
import * as Supervisor from "../unit/Supervisor.js"
import { formatEnd } from "../unit/UnitState.js"
import type { UnitStatus } from "../unit/UnitStatus.js"
import * as RecursionGuard from "./RecursionGuard.js"
import {
  type ServerError,
  ServerExitedEarly,
  ServerNotStarted,
  ServerPlaceTaken,
  ServerStartTimedOut,
} from "./ServerError.js"
import type { Options } from "./ServerService.js"
import type * as ServerSpec from "./ServerSpec.js"

/** One life of the server that has come up. */
export interface Life {
  readonly generation: number
  /** As it came up. */
  readonly status: UnitStatus
  readonly process: Process
}

/** The unit of a server. */
export interface ServerUnit {
  readonly status: Effect.Effect<UnitStatus>
  /**
   * Brings it up, or joins it where it is up or on its way. Closing the scope stops that very life, and waits until nothing
   * is left of it; where it has come to its end without that, what comes next is left to the unit's own policy.
   *
   * @param lost told when it is out of service
   */
  readonly start: (
    lost: (reason: string) => Effect.Effect<void>,
  ) => Effect.Effect<Life, ServerError, Scope.Scope>
  /** Stops whatever there is of it. */
  readonly stop: Effect.Effect<void, Supervisor.UnitNotStopped>
  /** Why a life is over, if it is. */
  readonly whyOver: (life: Life) => string | undefined
  /** Each time that it has come up, by whomever it was started. */
  readonly ups: Stream.Stream<unknown>
  /** The pid of the latest life that was told to be out of service. */
  readonly lastDown: () => { readonly generation: number; readonly pid: number | undefined }
  readonly log: UnitLog
}

/** `http://host:port`. */
export const baseUrlAt = (host: string, port: number): string => `http://${Authority.bracketed(host)}:${port}`

/** What another start would meet again. */
const permanent: ReadonlySet<string> = new Set([
  ...permanentErrors,
  "RestartsExhausted",
  "Mismatch",
  "Stopped",
])

/** So many of its last lines are told with an error. */
const tailLines = 10

/** `undefined` fields left out, as exact optional fields want it. */
export const given = <A extends object>(fields: A): { readonly [K in keyof A]?: Exclude<A[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never

/** What went wrong with a start. */
const errorOf = (
  { host, name }: ServerSpec.Managed,
  error: Supervisor.UnitNotStarted,
  { end, port }: UnitStatus,
  pid: number | undefined,
): ServerError => {
  const { kind, output, reason } = error
  const about = { server: name, ...(port !== undefined && { baseUrl: baseUrlAt(host, port) }) }
  switch (kind) {
    case "EarlyExit":
    case "PermanentExit":
      return new ServerExitedEarly({
        ...about,
        ...given({ pid }),
        end: end ?? {},
        output,
        retryable: kind === "EarlyExit",
      })
    case "ForeignServer":
    case "PortInUse":
      return new ServerPlaceTaken({ ...about, kind, reason })
    default:
      return new ServerNotStarted({ ...about, kind, reason, retryable: !permanent.has(kind), output })
  }
}

/** A plan of one unit has nothing wrong with it but what the description of the server says. */
const invalid = ({ faults }: InvalidPlan): InvalidSpec =>
  new InvalidSpec({
    what: "managed server",
    issues: faults.map(({ message, path }) => ({
      field: path.slice(2).join("."),
      value: "what it is",
      allowed: message,
    })),
  })

/** What the unit is made of. */
const unitOf = (spec: ServerSpec.Managed, guard: Options["guard"]) => {
  const { cwd, liveness, logs, probe, startTimeout } = spec
  const looks = Math.ceil(Duration.toMillis(startTimeout) / Duration.toMillis(probe.period))
  return {
    command: spec.command,
    env: { ...spec.env, ...(guard === false ? {} : RecursionGuard.childEnvironment(guard)) },
    envFile: spec.envFile,
    inheritEnv: spec.inheritEnv,
    mask: spec.mask,
    host: spec.host,
    port: spec.port,
    // It gates the liveness, and is not asked any more once the server is up: from then on it is asked for whoever wants
    // it. Failing often is no reason to end a start before its time is over.
    startup: { ...probe, failureThreshold: looks + 2 },
    startTimeout,
    stop: spec.stop,
    restart: spec.restart,
    verifyListener: spec.verifyListener,
    ...given({ cwd, liveness, logs }),
  }
}

/** As the reason of a change: "Its probe failed." becomes "its probe failed". */
const asReason = (sentence: string): string =>
  `${sentence.slice(0, 1).toLowerCase()}${sentence.slice(1).replace(/\.$/, "")}`

/** Makes the unit. Nothing is started. */
export const make = (
  spec: ServerSpec.Managed,
  options: Options,
): Effect.Effect<ServerUnit, InvalidSpec, Supervisor.Needs | Scope.Scope> =>
  Effect.gen(function* () {
    const { host, name, startTimeout } = spec
    let over: { generation: number; reason: string; pid: number | undefined } = {
      generation: 0,
      reason: "",
      pid: undefined,
    }
    let listener: { generation: number; lost: (reason: string) => Effect.Effect<void> } | undefined

    /** First of all it is known to be over; then it is told, and only then the app's hook is run. */
    const onDown = ({ end, generation, pid }: DownInfo): Effect.Effect<void> =>
      Effect.gen(function* () {
        const status = yield* statusOf
        const why = status.state === "stopping" ? status.reason : undefined
        const reason =
          end === undefined ? asReason(why ?? "It is being stopped.") : `it ended with ${formatEnd(end)}`
        over = { generation, reason, pid }
        if (listener?.generation === generation) yield* listener.lost(reason)
        if (options.onDown === undefined) return
        yield* options.onDown({
          name,
          reason,
          ...given({ pid, end: end && endStatus(end) }),
          ...(status.port !== undefined && { baseUrl: baseUrlAt(host, status.port) }),
        })
      })

    const supervisor = yield* Supervisor.make({
      autostart: false,
      root: options.root,
      plan: { units: { [name]: { ...unitOf(spec, options.guard), onDown } } },
    }).pipe(
      Effect.catchTags({ InvalidPlan: (error) => Effect.fail(invalid(error)), TableUnreadable: Effect.die }),
    )

    const statusOf = Effect.orDie(supervisor.status(name))
    const log = yield* Effect.orDie(supervisor.log(name))
    const stop = Effect.catchTag(Effect.asVoid(supervisor.stop([name])), "UnitNotFound", Effect.die)

    const whyOver = ({ generation, process }: Life): string | undefined => {
      if (generation === over.generation) return over.reason
      return generation < over.generation || process.exitNow() !== undefined
        ? "its process has ended"
        : undefined
    }

    const timedOut = (status: UnitStatus): Effect.Effect<never, ServerStartTimedOut> =>
      Effect.flatMap(Effect.orDie(supervisor.process(name)), (process) => {
        const lines = log.last(tailLines, status.generation)
        return new ServerStartTimedOut({
          server: name,
          ...(status.port !== undefined && { baseUrl: baseUrlAt(host, status.port) }),
          ...given({ pid: status.pid }),
          timeoutMillis: Duration.toMillis(startTimeout),
          reason: status.reason ?? "No check of it had ended by then.",
          output: lines.map(({ text }) => process?.redact(text) ?? text),
        })
      })

    const comeUp: Effect.Effect<UnitStatus, ServerError> = supervisor.start([name]).pipe(
      Effect.catchTags({
        UnitNotFound: Effect.die,
        SupervisorClosed: ({ message }) =>
          new ServerNotStarted({
            server: name,
            kind: "Closed",
            reason: message,
            retryable: false,
            output: [],
          }),
        UnitNotStarted: (error) =>
          Effect.flatMap(statusOf, (status) => {
            const pid = status.generation === over.generation ? over.pid : undefined
            return Effect.fail(errorOf(spec, error, status, pid))
          }),
      }),
      Effect.timeoutOption(startTimeout),
      Effect.flatMap(
        Option.match({
          onSome: ([up]) => Effect.succeed(up!),
          // What has come up in the same moment is up.
          onNone: () =>
            Effect.flatMap(statusOf, (status) =>
              status.state === "ready" ? Effect.succeed(status) : timedOut(status),
            ),
        }),
      ),
    )

    const release = (life: Life | undefined): Effect.Effect<void> =>
      Effect.gen(function* () {
        if (life !== undefined && whyOver(life) !== undefined) {
          // Its unit sees to it, and goes on by its policy. The next start is not to pay for the end of this life.
          yield* life.process.stop()
          return
        }
        const { generation, state } = yield* statusOf
        // Of one that did not come up it is to be seen how it ended.
        const isOver = state === "exited" || state === "failed"
        if (isOver || (life !== undefined && life.generation !== generation)) return
        yield* Effect.catchAll(stop, ({ message }) => Effect.logError(message))
      })

    const start: ServerUnit["start"] = (lost) =>
      Effect.gen(function* () {
        const started: { life?: Life } = {}
        yield* Effect.addFinalizer(() => release(started.life))
        const { generation } = yield* comeUp
        const process = yield* Effect.orDie(supervisor.process(name))
        const status = yield* statusOf
        if (process === undefined || status.generation !== generation) {
          yield* lost("its process has ended")
          return yield* Effect.never
        }
        const life: Life = { generation, status, process }
        started.life = life
        listener = { generation, lost }
        const reason = whyOver(life)
        return reason === undefined ? life : yield* Effect.zipRight(lost(reason), Effect.never)
      })

    return {
      status: statusOf,
      start,
      stop,
      whyOver,
      ups: Stream.filter(supervisor.changes, ({ from, to }) => from === "starting" && to === "ready"),
      lastDown: () => over,
      log,
    }
  })
