/** A server that is started here: the one unit of a supervisor of its own, behind a handle. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as HttpProbe from "../probe/HttpProbe.js"
import type { ForeignServer, PortInUse } from "../probe/Occupied.js"
import { PortHolders } from "../probe/PortHolder.js"
import * as Preflight from "../probe/Preflight.js"
import type { ProbeFailure } from "../probe/ProbeResult.js"
import { Prober } from "../probe/Prober.js"
import type { InvalidSpec } from "../process/InvalidSpec.js"
import type { Needs } from "../unit/Supervisor.js"
import type { UnitStatus } from "../unit/UnitStatus.js"
import { forkNow } from "./ForkNow.js"
import * as Handle from "./Handle.js"
import * as ServerCheck from "./ServerCheck.js"
import { ServerNotStarted, ServerPlaceTaken, type ServerError, VersionMismatch } from "./ServerError.js"
import type { Options, Server } from "./ServerService.js"
import * as ServerSpec from "./ServerSpec.js"
import { ServerInfo, ServerStatus } from "./ServerStatus.js"
import * as ServerUnit from "./ServerUnit.js"
import { given } from "./ServerUnit.js"

/** What there is to know of a server that is handed out. */
interface Known {
  readonly check: Effect.Effect<void, ProbeFailure>
  /** Undefined for somebody else's. */
  readonly life?: ServerUnit.Life
}

/** Failures that were its end, by itself. */
const ends: ReadonlySet<string> = new Set(["EarlyExit", "Crashed", "PermanentExit", "RestartsExhausted"])

/** Makes a managed server. Nothing is started. */
export const make = (
  input: typeof ServerSpec.Managed.Encoded,
  options: Options = {},
): Effect.Effect<Server, InvalidSpec, Needs | Scope.Scope> =>
  Effect.gen(function* () {
    const spec = yield* ServerSpec.managed(input)
    const prober = yield* Prober
    const holders = yield* PortHolders
    const { expectedVersion, host, name, probe } = spec
    const unit = yield* ServerUnit.make(spec, options)
    const known = new WeakMap<ServerInfo, Known>()
    const fixedVersion =
      typeof spec.version === "string" ? HttpProbe.normalizeVersion(spec.version) : undefined

    const baseUrlOf = ({ port }: Pick<UnitStatus, "port">): string | undefined =>
      port === undefined ? undefined : ServerUnit.baseUrlAt(host, port)
    const targetAt = (port: number | undefined) => ({ host, unit: name, ...given({ port }) })
    const withProber = Effect.provideService(Prober, prober)

    /** Its version as far as it is known; another one than the expected is an error. */
    const versionAt = (baseUrl: string, port: number): Effect.Effect<string | undefined, ServerError> =>
      Effect.gen(function* () {
        if (spec.version === undefined || typeof spec.version === "string") return fixedVersion
        const read = ServerCheck.readVersion(
          spec.version,
          ServerCheck.lasting(probe) ?? probe,
          targetAt(port),
        )
        const found = yield* expectedVersion === undefined
          ? Effect.orElseSucceed(read, () => undefined)
          : Effect.mapError(
              read,
              (reason) =>
                new ServerNotStarted({
                  server: name,
                  baseUrl,
                  kind: "VersionUnread",
                  reason: `Its version cannot be told: ${reason}`,
                  retryable: true,
                  output: [],
                }),
            )
        return found === undefined ? undefined : HttpProbe.normalizeVersion(found)
      }).pipe(
        Effect.filterOrFail(
          (version) =>
            expectedVersion === undefined || version === HttpProbe.normalizeVersion(expectedVersion),
          (actual) =>
            new VersionMismatch({ server: name, baseUrl, expected: expectedVersion!, ...given({ actual }) }),
        ),
      )

    /** Of the latest life that came up, for the status: what its unit does not know. */
    let latest: { readonly generation: number; readonly version: string | undefined } = {
      generation: 0,
      version: fixedVersion,
    }
    /** Somebody else's server, as it was used last. */
    let adopted: ServerInfo | undefined
    /** Fails when starts are to be given up; another one each time. */
    let halt = Deferred.unsafeMake<never, ServerError>(FiberId.none)
    const haltable = <A, R>(start: Effect.Effect<A, ServerError, R>): Effect.Effect<A, ServerError, R> =>
      Effect.suspend(() => Effect.raceFirst(start, Deferred.await(halt)))

    const launch = ({ lost }: Handle.StartContext) =>
      Effect.gen(function* () {
        const life = yield* unit.start(lost)
        const { generation, process, status } = life
        const baseUrl = baseUrlOf(status)!
        const version = yield* versionAt(baseUrl, status.port!)
        latest = { generation, version }
        const check = yield* withProber(ServerCheck.make(probe, targetAt(status.port)))
        const info = new ServerInfo({
          name,
          baseUrl,
          mode: "managed",
          ownership: "launched",
          pid: process.pid,
          outputs: status.outputs,
          ...given({ version, launchedAt: status.startedAt, launcher: spec.launcher ?? status.command }),
        })
        known.set(info, { check, life })
        return info
      })

    const placeTaken = ({ _tag: kind, message: reason }: ForeignServer | PortInUse) =>
      Effect.fail(
        new ServerPlaceTaken({
          server: name,
          kind,
          reason,
          baseUrl: ServerUnit.baseUrlAt(host, spec.port as number),
        }),
      )

    const adopt = () =>
      Effect.gen(function* () {
        const check = ServerCheck.lastingCheck(probe)
        if (spec.foreign === "refuse" || spec.port === "auto" || check === undefined) return Option.none()
        // What answers there may be our own, which its unit has restarted.
        if (!isSettled((yield* unit.status).state)) return Option.none()
        const verdict = yield* Preflight.run(check, targetAt(spec.port), "adopt-as-external").pipe(
          Effect.provideService(Prober, prober),
          Effect.provideService(PortHolders, holders),
          Effect.catchTags({ ForeignServer: placeTaken, PortInUse: placeTaken }),
        )
        if (verdict._tag === "Clear") return Option.none()
        const baseUrl = ServerUnit.baseUrlAt(host, spec.port)
        const version = yield* versionAt(baseUrl, spec.port)
        const info = new ServerInfo({
          name,
          baseUrl,
          mode: "external",
          ownership: "external",
          outputs: verdict.outputs,
          ...given({ version }),
        })
        known.set(info, { check: yield* withProber(ServerCheck.make(probe, targetAt(spec.port))) })
        adopted = info
        return Option.some(info)
      })

    const handle = yield* Handle.make<ServerInfo, ServerError, Scope.Scope>({
      name,
      start: (context) => haltable(launch(context)),
      adopt: () => haltable(adopt()),
      mode: ({ mode }) => mode,
      whyGone: (info) => {
        const life = known.get(info)?.life
        return life && unit.whyOver(life)
      },
      validate: (info) => known.get(info)!.check,
      describe: ({ baseUrl, ownership, pid }) => ({ baseUrl, ownership, ...given({ pid }) }),
      guard: options.guard,
      health: options.health,
      idleTimeout: options.idleTimeout,
      attempts: options.attempts,
      backoff: options.backoff,
    })

    if (spec.restart.policy !== "never") {
      // What its unit has restarted is the handle's again, so that it is looked after as any other.
      const join = Effect.flatMap(handle.state, ({ _tag, activity }) =>
        _tag !== "Ready" && activity === "idle" ? Effect.fork(Effect.ignore(handle.acquire)) : Effect.void,
      )
      yield* Effect.forkScoped(Stream.runForEach(unit.ups, () => join))
    }

    const foreign = Effect.map(handle.state, (state) =>
      (state._tag === "Ready" || state._tag === "Failed") && state.mode === "external" ? adopted : undefined,
    )

    /** Asks it once, and gives what came of that. */
    const look = (port: number | undefined) =>
      Effect.map(withProber(ServerCheck.once(probe, targetAt(port))), (verdict) =>
        Either.isRight(verdict)
          ? ({ state: "Ready" } as const)
          : ({ state: "Unreachable", reason: verdict.left.message } as const),
      )

    const status: Effect.Effect<ServerStatus> = Effect.gen(function* () {
      const others = yield* foreign
      if (others !== undefined) {
        const { baseUrl, mode, ownership, version } = others
        const verdict = yield* look(spec.port === "auto" ? undefined : spec.port)
        return new ServerStatus({ name, baseUrl, mode, ownership, ...given({ version }), ...verdict })
      }
      const now = yield* unit.status
      const { generation, pid, reason, startedAt: launchedAt } = now
      const version = generation === latest.generation ? latest.version : fixedVersion
      const about = {
        name,
        mode: "managed" as const,
        ownership: "launched" as const,
        ...given({ baseUrl: baseUrlOf(now), version, launcher: spec.launcher ?? now.command }),
      }
      switch (now.state) {
        case "ready":
        case "degraded": {
          const verdict = yield* look(now.port)
          return new ServerStatus({ ...about, ...given({ pid, launchedAt }), ...verdict })
        }
        case "starting":
        case "blocked":
        case "backoff":
          // The launch time is that of the one before as long as there is no process.
          return new ServerStatus({
            ...about,
            ...given({ reason, pid, launchedAt: pid && launchedAt }),
            state: "Starting",
          })
        case "stopping":
          return new ServerStatus({ ...about, ...given({ pid, launchedAt, reason }), state: "Stopping" })
        case "inactive":
          return new ServerStatus({ ...about, state: "Stopped" })
        case "exited":
        case "failed": {
          const hasEnded = now.state === "exited" || ends.has(now.failure?.kind ?? "")
          if (!hasEnded) return new ServerStatus({ ...about, ...given({ reason }), state: "Stopped" })
          const down = unit.lastDown()
          const old = { pid: down.generation === generation ? down.pid : undefined, launchedAt, end: now.end }
          return new ServerStatus({ ...about, ...given({ ...old, reason }), state: "Exited" })
        }
      }
    })

    /** Gives up a start that is under way; done when the handle and all who waited have heard of it. */
    const giveUp = Effect.suspend(() =>
      Effect.flatMap(forkNow(Effect.exit(handle.acquire)), (waiter) => {
        const reason = "It was stopped meanwhile."
        const error = new ServerNotStarted({
          server: name,
          kind: "Stopped",
          reason,
          retryable: false,
          output: [],
        })
        Deferred.unsafeDone(halt, Effect.fail(error))
        halt = Deferred.unsafeMake(FiberId.none)
        return Effect.onInterrupt(Fiber.join(waiter), () => Fiber.interrupt(waiter))
      }),
    )

    const stop = Effect.gen(function* () {
      if ((yield* foreign) !== undefined) return yield* status
      const { generation, pid, startedAt: launchedAt, state } = yield* unit.status
      const isStarting = (yield* handle.state).activity === "starting"
      if (isStarting) yield* giveUp
      // The handle lets go of it first. A start that was given up is no failure that anybody should have to wait for.
      if (isStarting || (yield* handle.state)._tag === "Ready") yield* handle.reset
      if (isSettled(state) && !isStarting) return yield* status
      // What is left of it: an instance that its unit has restarted by itself.
      yield* unit.stop
      const version = generation === latest.generation ? latest.version : fixedVersion
      const now = yield* status
      return now.state === "Stopped"
        ? new ServerStatus({ ...now, ...given({ pid, launchedAt, version }) })
        : now
    })

    return { name, handle, start: Effect.zipRight(handle.acquire, status), stop, status, log: unit.log }
  })

const isSettled = (state: UnitStatus["state"]): boolean =>
  state === "inactive" || state === "exited" || state === "failed"
