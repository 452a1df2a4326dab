/** A server that is started here: the one unit of a supervisor of its own, behind a handle. */
import * as Effect from "effect/Effect"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as HttpProbe from "../probe/HttpProbe.js"
import { PortHolders } from "../probe/PortHolder.js"
import * as Preflight from "../probe/Preflight.js"
import { Prober } from "../probe/Prober.js"
import type { InvalidSpec } from "../process/InvalidSpec.js"
import type { Process } from "../process/Process.js"
import { formatEnd } from "../unit/UnitState.js"
import * as Supervisor from "../unit/Supervisor.js"
import type { UnitStatus } from "../unit/UnitStatus.js"
import * as Handle from "./Handle.js"
import * as RecursionGuard from "./RecursionGuard.js"
import * as ServerCheck from "./ServerCheck.js"
import {
  ServerExitedEarly,
  ServerNotStarted,
  ServerPlaceTaken,
  ServerStartTimedOut,
  type ServerError,
  VersionMismatch,
} from "./ServerError.js"
import type { Options, Server } from "./ServerService.js"
import * as ServerSpec from "./ServerSpec.js"
import { ServerInfo, ServerStatus } from "./ServerStatus.js"

/** What another start would meet again. */
const permanent: ReadonlySet<string> = new Set([
  "InvalidSpec",
  "CommandNotFound",
  "NotExecutable",
  "BadWorkingDirectory",
  "FileUnusable",
  "ArgumentListTooLong",
  "PermanentExit",
  "Mismatch",
  "Stopped",
])

const bracketed = (host: string): string => (host.includes(":") && !host.startsWith("[") ? `[${host}]` : host)

/** `undefined` fields left out, as exact optional fields want it. */
const given = <A extends object>(fields: A): { readonly [K in keyof A]?: Exclude<A[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never

/** One instance of the server that came up. */
interface Life {
  readonly info: ServerInfo
  readonly process: Process | undefined
}

/** What went wrong with a start. */
const errorOf = (
  spec: ServerSpec.Managed,
  error: Supervisor.UnitNotStarted,
  { end, failure }: UnitStatus,
  pid: number | undefined,
  baseUrl: string | undefined,
): ServerError => {
  const { kind, output, reason } = error
  const about = { server: spec.name, ...given({ baseUrl }) }
  switch (kind) {
    case "EarlyExit":
      return new ServerExitedEarly({ ...about, ...given({ pid }), end: end ?? {}, output })
    case "StartTimeout": {
      const timeoutMillis = Duration.toMillis(spec.startTimeout)
      return new ServerStartTimedOut({ ...about, timeoutMillis, reason, output })
    }
    case "ForeignServer":
    case "PortInUse":
      return new ServerPlaceTaken({ ...about, kind, reason })
    default: {
      const retryable = !permanent.has(kind)
      return new ServerNotStarted({ ...about, kind, reason, retryable, output: failure?.output ?? output })
    }
  }
}

/** Makes a managed server. Nothing is started. */
export const make = (
  input: typeof ServerSpec.Managed.Encoded,
  options: Options = {},
): Effect.Effect<Server, InvalidSpec, Supervisor.Needs | Scope.Scope> =>
  Effect.gen(function* () {
    const spec = yield* ServerSpec.managed(input)
    const prober = yield* Prober
    const holders = yield* PortHolders
    const { name } = spec
    const guardEnv = options.guard === false ? {} : RecursionGuard.childEnvironment(options.guard)
    const probe = ServerSpec.withTimes(spec.probe)

    let onDown: (generation: number, reason: string) => Effect.Effect<void> = () => Effect.void
    /** Of the last instance that was launched: what is shown after its end. */
    let last: { pid: number | undefined; version?: string | undefined; launchedAt?: number | undefined } = {
      pid: undefined,
    }
    const supervisor = yield* Supervisor.make({
      autostart: false,
      root: options.root,
      plan: {
        units: {
          [name]: {
            command: spec.command,
            env: { ...spec.env, ...guardEnv },
            envFile: spec.envFile,
            inheritEnv: spec.inheritEnv,
            mask: spec.mask,
            host: spec.host,
            port: spec.port,
            readiness: probe,
            startTimeout: spec.startTimeout,
            stop: spec.stop,
            restart: spec.restart,
            verifyListener: spec.verifyListener,
            ...given({ cwd: spec.cwd, liveness: spec.liveness, logs: spec.logs }),
            onDown: ({ end, generation, pid }) => {
              last = { ...last, pid }
              const how = end === undefined ? "it is being stopped" : `it ended with ${formatEnd(end)}`
              return onDown(generation, how)
            },
          },
        },
      },
    }).pipe(Effect.catchTags({ InvalidPlan: Effect.die, TableUnreadable: Effect.die }))

    const statusOf = Effect.orDie(supervisor.status(name))
    const baseUrlOf = (port: number | undefined): string | undefined =>
      port === undefined ? undefined : `http://${bracketed(spec.host)}:${port}`

    const learn = (baseUrl: string): Effect.Effect<string | undefined> => {
      if (spec.version === undefined || typeof spec.version === "string") return Effect.succeed(spec.version)
      const { path = spec.probe.http?.path ?? "/", pointer } = spec.version
      return ServerCheck.readText(baseUrl, path, pointer)
    }

    const infoOf = (status: UnitStatus, ownership: "launched" | "external") =>
      Effect.gen(function* () {
        const baseUrl = baseUrlOf(status.port)!
        const found = yield* learn(baseUrl)
        const version = found === undefined ? undefined : HttpProbe.normalizeVersion(found)
        const expected = spec.expectedVersion
        if (expected !== undefined && version !== HttpProbe.normalizeVersion(expected)) {
          return yield* new VersionMismatch({
            server: name,
            baseUrl,
            expected,
            ...given({ actual: version }),
          })
        }
        const launched = ownership === "launched"
        return new ServerInfo({
          name,
          baseUrl,
          mode: launched ? "managed" : "external",
          ownership,
          outputs: status.outputs,
          ...given({
            version,
            pid: launched ? status.pid : undefined,
            launchedAt: launched ? status.startedAt : undefined,
            launcher: launched ? (spec.launcher ?? status.command) : undefined,
          }),
        })
      })

    const lives = new WeakMap<ServerInfo, Life>()

    const launch = ({ lost }: Handle.StartContext) =>
      Effect.gen(function* () {
        // Its own instance only: the next one may be up already, by the policy of the unit. One that has ended by itself is
        // left as it is, so that it can be seen how.
        yield* Effect.addFinalizer(() =>
          Effect.gen(function* () {
            const { generation, state } = yield* statusOf
            const process = yield* Effect.orDie(supervisor.process(name))
            const hasEnded = state === "exited" || state === "failed" || process?.exitNow() !== undefined
            if (hasEnded || generation > (started?.generation ?? generation)) return
            yield* Effect.catchAll(supervisor.stop([name]), (error) => Effect.logError(error.message))
          }),
        )
        let started: UnitStatus | undefined
        const [up] = yield* supervisor.start([name]).pipe(
          Effect.catchTags({
            UnitNotFound: Effect.die,
            SupervisorClosed: () => Effect.interrupt,
            UnitNotStarted: (error) =>
              Effect.flatMap(statusOf, (status) =>
                Effect.fail(errorOf(spec, error, status, last.pid, baseUrlOf(status.port))),
              ),
          }),
        )
        started = up!
        const process = yield* Effect.orDie(supervisor.process(name))
        onDown = (generation, reason) => (generation === up!.generation ? lost(reason) : Effect.void)
        const info = yield* infoOf(up!, "launched")
        last = { pid: info.pid, version: info.version, launchedAt: info.launchedAt }
        lives.set(info, { info, process })
        return info
      })

    const target = (port: number | undefined) => ({ host: spec.host, ...given({ port }), unit: name })

    const adopt = () =>
      Effect.gen(function* () {
        if (spec.foreign === "refuse" || spec.port === "auto") return Option.none<ServerInfo>()
        const verdict = yield* Preflight.run(probe, target(spec.port), "adopt-as-external").pipe(
          Effect.provideService(Prober, prober),
          Effect.provideService(PortHolders, holders),
          Effect.catchTags({
            ForeignServer: ({ _tag, message }) =>
              new ServerPlaceTaken({ server: name, kind: _tag, reason: message }),
            PortInUse: ({ _tag, message }) =>
              new ServerPlaceTaken({ server: name, kind: _tag, reason: message }),
          }),
        )
        if (verdict._tag === "Clear") return Option.none<ServerInfo>()
        const status = yield* statusOf
        const info = yield* infoOf({ ...status, outputs: verdict.outputs }, "external")
        return Option.some(info)
      })

    /** One check for each port that the server has had: an `auto` one may be another after a restart. */
    const checks = new Map<string, Effect.Effect<void, unknown>>()
    const scope = yield* Effect.scope
    const checkOf = (baseUrl: string) =>
      Effect.gen(function* () {
        const known = checks.get(baseUrl)
        if (known !== undefined) return yield* known
        const check = yield* ServerCheck.make(probe, target(Number(new URL(baseUrl).port))).pipe(
          Effect.provideService(Prober, prober),
          Effect.provideService(Scope.Scope, scope),
        )
        checks.set(baseUrl, check)
        return yield* check
      })

    const handle = yield* Handle.make<ServerInfo, ServerError, Scope.Scope, never>({
      name,
      start: launch,
      adopt,
      mode: ({ mode }) => mode,
      whyGone: (info) => {
        const exit = lives.get(info)?.process?.exitNow()
        return exit === undefined ? undefined : "its process has ended"
      },
      validate: ({ baseUrl }) => checkOf(baseUrl),
      guard: options.guard,
      describe: ({ baseUrl, ownership, pid }) => ({ baseUrl, ownership, ...given({ pid }) }),
      ...given({
        health: options.health,
        idleTimeout: options.idleTimeout,
        attempts: options.attempts,
        backoff: options.backoff,
      }),
    })

    const adopted = Effect.map(handle.state, (state) =>
      state._tag === "Ready" && state.snapshot.ownership === "external" ? state.snapshot : undefined,
    )

    const status: Effect.Effect<ServerStatus> = Effect.gen(function* () {
      const foreign = yield* adopted
      if (foreign !== undefined) {
        const verdict = yield* Effect.either(checkOf(foreign.baseUrl))
        const { baseUrl, mode, ownership, version } = foreign
        const state = verdict._tag === "Right" ? "Ready" : "Unreachable"
        return new ServerStatus({ name, baseUrl, mode, ownership, state, ...given({ version }) })
      }
      const unit = yield* statusOf
      const baseUrl = baseUrlOf(unit.port)
      const about = {
        name,
        mode: "managed" as const,
        ownership: "launched" as const,
        ...given({ baseUrl, launcher: spec.launcher ?? unit.command }),
      }
      const { launchedAt = unit.startedAt, version } = last
      switch (unit.state) {
        case "ready":
        case "degraded": {
          const verdict = yield* Effect.either(checkOf(baseUrl!))
          const life = given({ pid: unit.pid, launchedAt: unit.startedAt, version })
          return verdict._tag === "Right"
            ? new ServerStatus({ ...about, ...life, state: "Ready" })
            : new ServerStatus({ ...about, ...life, state: "Unreachable", reason: String(verdict.left) })
        }
        case "starting":
        case "blocked":
        case "backoff":
          return new ServerStatus({
            ...about,
            ...given({ pid: unit.pid, reason: unit.reason }),
            state: "Starting",
          })
        case "stopping":
          return new ServerStatus({
            ...about,
            ...given({ pid: unit.pid, version, launchedAt }),
            state: "Stopping",
          })
        case "inactive":
          return new ServerStatus({ ...about, state: "Stopped", ...given({ version: fixedVersion(spec) }) })
        case "exited":
        case "failed": {
          const reason = given({ reason: unit.reason })
          if (unit.end === undefined) return new ServerStatus({ ...about, ...reason, state: "Stopped" })
          const life = given({ pid: last.pid, version, launchedAt })
          return new ServerStatus({ ...about, ...reason, ...life, end: unit.end, state: "Exited" })
        }
      }
    })

    return {
      name,
      handle,
      start: Effect.zipRight(handle.acquire, status),
      stop: Effect.gen(function* () {
        if ((yield* adopted) !== undefined) return yield* status
        const before = last
        yield* handle.reset
        // What is left of it when it is not the handle's: an instance that its unit restarted by itself.
        yield* Effect.catchTag(supervisor.stop([name]), "UnitNotFound", Effect.die)
        const now = yield* status
        return new ServerStatus({
          ...now,
          ...given({ pid: before.pid, version: before.version, launchedAt: before.launchedAt }),
        })
      }),
      status,
      log: yield* Effect.orDie(supervisor.log(name)),
    }
  })

const fixedVersion = ({ version }: ServerSpec.Managed): string | undefined =>
  typeof version === "string" ? HttpProbe.normalizeVersion(version) : undefined
