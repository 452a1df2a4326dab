import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as PortLeases from "../../../src/unit/port/PortLeases.js"
import { silent, tcpServer } from "../../probe/support.js"

const units = (count: number) => Array.from({ length: count }, (_, index) => `unit-${index}`)

const leaseAll = (leases: PortLeases.PortLeases, names: ReadonlyArray<string>) =>
  Effect.forEach(names, (unit) => leases.lease(unit), { concurrency: "unbounded" })

describe("leases of ports", () => {
  it.live("of one moment are all different, and of ports that are free", () =>
    Effect.gen(function* () {
      const leases = yield* PortLeases.make
      const names = units(200)
      const ports = yield* leaseAll(leases, names)
      expect(new Set(ports).size).toBe(names.length)
      expect(names.map(leases.leaseOf)).toEqual(ports)
      // All at once, too, and at both addresses.
      yield* Effect.scoped(
        Effect.forEach(ports, (port) =>
          Effect.zip(tcpServer(silent, "127.0.0.1", port), tcpServer(silent, "::1", port)),
        ),
      )
    }),
  )

  it.live("stay with their unit from one instance to the next", () =>
    Effect.gen(function* () {
      const leases = yield* PortLeases.make
      const first = yield* leaseAll(leases, units(20))
      for (let round = 0; round < 3; round++) expect(yield* leaseAll(leases, units(20))).toEqual(first)
    }),
  )

  for (const host of ["127.0.0.1", "::1"]) {
    it.scopedLive(`become another one when somebody has taken the port at ${host}, which then stays`, () =>
      Effect.gen(function* () {
        const leases = yield* PortLeases.make
        const first = yield* leases.lease("web")
        const second = yield* Effect.scoped(
          Effect.zipRight(tcpServer(silent, host, first), leases.lease("web")),
        )
        expect(second).not.toBe(first)
        expect(leases.leaseOf("web")).toBe(second)
        expect(yield* leases.lease("web")).toBe(second)
      }),
    )
  }

  it.scopedLive("are never of a port at which somebody listens on IPv6 alone", () =>
    Effect.gen(function* () {
      const leases = yield* PortLeases.make
      // So many that the system is bound to propose some of them.
      const others = yield* Effect.forEach(units(500), () => tcpServer(silent, "::1"))
      const taken = new Set(others.map(({ port }) => port))
      for (const unit of units(200)) expect(taken.has(yield* leases.lease(unit))).toBe(false)
    }),
  )

  it.live("are never of a port that a unit declares; one that has such a port is not renewed", () =>
    Effect.gen(function* () {
      const leases = yield* PortLeases.make
      const port = yield* leases.lease("web")
      leases.reserve("db", [port])
      const next = yield* leases.lease("web")
      expect(next).not.toBe(port)
      leases.reserve("web", [next])
      expect(yield* leases.lease("web")).not.toBe(next)
    }),
  )

  it.live("prefer the port that is asked for, unless it is somebody's", () =>
    Effect.gen(function* () {
      const leases = yield* PortLeases.make
      const port = yield* leases.lease("web")
      expect(yield* leases.lease("api", port)).not.toBe(port)
      leases.release("web")
      expect(leases.leaseOf("web")).toBeUndefined()
      expect(yield* leases.lease("worker", port)).toBe(port)
      // What it has goes before what is asked for.
      expect(yield* leases.lease("worker", leases.leaseOf("api")!)).toBe(port)
    }),
  )

  it.live("end with their unit, and so does what it declares", () =>
    Effect.gen(function* () {
      const leases = yield* PortLeases.make
      const port = yield* leases.lease("web")
      leases.release("web")
      leases.reserve("db", [port])
      expect(yield* leases.lease("api", port)).not.toBe(port)
      leases.release("db")
      leases.release("api")
      expect(yield* leases.lease("api", port)).toBe(port)
    }),
  )

  it.live("a port that the system gives out and that is a unit's already is passed over", () =>
    Effect.gen(function* () {
      const leases = yield* PortLeases.make
      // As good as all of them.
      const all = Array.from({ length: 65_535 }, (_, index) => index + 1)
      leases.reserve("greedy", all)
      const failure = yield* Effect.flip(leases.lease("web"))
      expect(failure.message).toMatch(/^No free port was found for unit web: 100 ports were tried/)
      expect(leases.leaseOf("web")).toBeUndefined()
      leases.release("greedy")
      yield* leases.lease("web")
    }),
  )
})
