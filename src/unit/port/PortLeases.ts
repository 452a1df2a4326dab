/** Ports of the loopback that are lent to units which do not care what their port is: `port: auto`. */
import { type AddressInfo, createServer, type Server } from "node:net"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { systemReason } from "../../process/Diagnosis.js"

/** The system has no port to lend. */
export class NoFreePort extends Schema.TaggedError<NoFreePort>()("NoFreePort", {
  unit: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `No free port was found for unit ${this.unit}: ${this.reason}. Give it a port of its own, or try again later.`
  }
}

/** What the units of one supervisor have of ports. */
export interface PortLeases {
  /**
   * A port that is free at 127.0.0.1, and at ::1 where there is IPv6; never one that another unit has on lease, or that
   * any unit declares. The one the unit has already, else `preferred`, where that can still be had. To be called for
   * one unit by one caller at a time.
   *
   * Nobody holds the port from the answer to the moment when the unit's process listens: somebody else may take it.
   */
  readonly lease: (unit: string, preferred?: number) => Effect.Effect<number, NoFreePort>
  /** The port that a unit has on lease. */
  readonly leaseOf: (unit: string) => number | undefined
  /** Says which ports a unit declares, in the place of what it said before. A lease that has one of them is not renewed. */
  readonly reserve: (unit: string, ports: ReadonlyArray<number>) => void
  /** Ends what a unit has: its lease, and what it declares. */
  readonly release: (unit: string) => void
}

/** So many ports are tried. The system seldom gives one that is taken: all it gives are tried at the same time. */
const attempts = 100

/** Without IPv6 nothing can be bound there, by anybody. */
const isNoAddress = (code: string): boolean =>
  ["EADDRNOTAVAIL", "EAFNOSUPPORT", "EPROTONOSUPPORT"].includes(code)

/** Listens until the scope closes; fails with the system's error. */
const listen = (port: number, host: string): Effect.Effect<Server, NodeJS.ErrnoException, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Server, NodeJS.ErrnoException>((resume) => {
      const server = createServer((socket) => socket.destroy())
      server.once("error", (cause) => resume(Effect.fail(cause)))
      server.listen({ port, host, exclusive: true }, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void))),
  )

const isFreeAt = (port: number, host: string): Effect.Effect<boolean, NodeJS.ErrnoException> =>
  Effect.scoped(listen(port, host)).pipe(
    Effect.as(true),
    Effect.catchAll((cause) => {
      const code = cause.code ?? ""
      if (code === "EADDRINUSE" || code === "EACCES") return Effect.succeed(false)
      return isNoAddress(code) ? Effect.succeed(true) : Effect.fail(cause)
    }),
  )

/** No unit has any port yet. */
export const make: Effect.Effect<PortLeases> = Effect.sync(() => {
  const leased = new Map<string, number>()
  const declared = new Map<string, ReadonlyArray<number>>()

  const isTaken = (port: number, unit: string): boolean => {
    for (const [other, its] of leased) if (its === port && other !== unit) return true
    for (const ports of declared.values()) if (ports.includes(port)) return true
    return false
  }

  /** Whether the unit may have that port; it is the unit's while that is found out, so that no other gets it. */
  const claim = (port: number, unit: string, isFree: Effect.Effect<boolean, NodeJS.ErrnoException>) =>
    Effect.suspend(() => {
      if (isTaken(port, unit)) return Effect.succeed(false)
      leased.set(unit, port)
      return isFree
    })

  const another = (unit: string) =>
    Effect.gen(function* () {
      for (let attempt = 0; attempt < attempts; attempt++) {
        // It listens until the search is over: so the next attempt, of whatever unit, gets another port.
        const server = yield* listen(0, "127.0.0.1")
        const { port } = server.address() as AddressInfo
        if (yield* claim(port, unit, isFreeAt(port, "::1"))) return port
      }
      return yield* new NoFreePort({ unit, reason: `${attempts} ports were tried and are all taken` })
    }).pipe(Effect.scoped)

  return {
    lease: Effect.fn("PortLeases.lease")(
      function* (unit: string, preferred?: number) {
        const known = leased.get(unit) ?? preferred
        if (known !== undefined) {
          const isFree = Effect.all([isFreeAt(known, "127.0.0.1"), isFreeAt(known, "::1")])
          if (
            yield* claim(
              known,
              unit,
              Effect.map(isFree, (all) => all.every(Boolean)),
            )
          )
            return known
        }
        return yield* another(unit)
      },
      (effect, unit) =>
        Effect.catchAll(effect, (cause) => {
          leased.delete(unit)
          return cause instanceof NoFreePort ? cause : new NoFreePort({ unit, reason: systemReason(cause) })
        }),
    ),
    leaseOf: (unit) => leased.get(unit),
    reserve: (unit, ports) => void declared.set(unit, ports),
    release: (unit) => {
      leased.delete(unit)
      declared.delete(unit)
    },
  }
})
