import { describe, expect, it } from "@effect/vitest"
import * as System from "../../src/unit/System.js"
import type * as UnitSpec from "../../src/unit/UnitSpec.js"
import { Story, systemOf } from "./simulation.js"

type Units = Readonly<Record<string, UnitSpec.Input>>

const story = (units: Units, groups: Readonly<Record<string, UnitSpec.Group>> = {}) =>
  new Story(systemOf(units, groups))

/** All of them up, and nothing noted yet. */
const up = (units: Units, groups: Readonly<Record<string, UnitSpec.Group>> = {}) =>
  story(units, groups)
    .order("Start", ...Object.keys(units))
    .goWell()
    .forget()

const webOnDb: Units = { web: { requires: ["db"] }, db: {} }
const boundChain: Units = { a: {}, b: { bindsTo: ["a"] }, c: { bindsTo: ["b"] } }

describe("a start", () => {
  it("takes along what is required, and waits for it", () => {
    const told = story(webOnDb).order("Start", "web")
    expect(told.phases).toBe("db Starting, web Blocked")
    expect(told.goWell().orders).toEqual(["start db", "start web"])
    expect(told.phases).toBe("db Ready, web Ready")
  })

  it("takes along what is wanted, and waits for nothing", () => {
    const told = story({ web: { wants: ["cache"] }, cache: {} }).order("Start", "web")
    expect(told.phases).toContain("web Starting")
    expect(told.phases).toContain("cache Starting")
  })

  it("goes on in parallel where the graph allows it", () => {
    const told = story({ a: {}, b: {}, c: { requires: ["a", "b"] } }).order("Start", "c")
    expect(told.orders).toEqual(["start a", "start b"])
  })

  it("starts again what has failed, for the sake of who needs it", () => {
    const told = story({ ...webOnDb, db: { restart: "never" } }).order("Start", "web")
    told.spawned("db").end("db").gone("db")
    expect(told.phases).toBe("db Failed{EarlyExit}, web Failed{DependencyFailed}")
    told.order("Start", "web").goWell()
    expect(told.phases).toBe("db Ready, web Ready")
  })

  const migrated: Units = { web: { requires: ["migrate"] }, migrate: { kind: "oneshot" } }

  it("does not run again a oneshot that has succeeded, unless that is named", () => {
    const told = up(migrated)
    told.order("Stop", "web").goWell().forget()
    expect(told.order("Start", "web").goWell().orders).toEqual(["start web"])
    told.forget().order("Start", "migrate")
    expect(told.orders).toEqual(["start migrate"])
  })

  it("does not run again a oneshot that has succeeded, and is only being cleared away", () => {
    const told = story(migrated).order("Start", "web").spawned("migrate").end("migrate", 0)
    expect(told.phases).toBe("migrate Stopping{exit}, web Blocked")
    told.order("Start", "web").goWell()
    expect(told.orders).toEqual(["start migrate", "start web"])
  })

  it("counts as success of a oneshot what its policy counts as success", () => {
    const told = story({ ...migrated, migrate: { kind: "oneshot", restart: { success: [3] } } })
    told.order("Start", "web").spawned("migrate").end("migrate", 3).gone("migrate")
    expect(told.phases).toBe("migrate Exited, web Starting")
  })

  it("takes back a stop that has not begun yet", () => {
    const told = up(webOnDb).order("Stop", "db")
    expect(told.phases).toBe("db Ready, web Stopping{stop}")
    told.order("Start", "db").goWell()
    expect(told.phases).toBe("db Ready, web Inactive")
    expect(told.orders).toEqual(["stop web"])
  })

  it("does not take back a restart", () => {
    const told = up(boundChain).order("Restart", "a").order("Start", "a").goWell()
    expect(told.orders).toEqual(["stop c", "stop b", "stop a", "start a", "start b", "start c"])
  })

  it("of a unit that is going down is queued", () => {
    const told = up(webOnDb).order("Stop", "web").order("Start", "web")
    expect(told.phases).toBe("db Ready, web Stopping{stop, queued}")
    expect(told.goWell().orders).toEqual(["stop web", "start web"])
  })
})

describe("a stop", () => {
  it("takes down those who need it first", () => {
    const told = up(webOnDb).order("Stop", "db")
    expect(told.phases).toBe("db Ready, web Stopping{stop}")
    expect(told.gone("web").orders).toEqual(["stop web", "stop db"])
    told.gone("db")
    expect(told.phases).toBe("db Inactive, web Inactive")
  })

  it("goes in order through a target in between", () => {
    const told = up({ db: {}, all: { kind: "target", requires: ["db"] }, web: { requires: ["all"] } })
    expect(told.order("Stop", "db").goWell().orders).toEqual(["stop web", "stop db"])
  })

  it("goes in order through a unit in between that is down", () => {
    const told = up({ db: {}, api: { requires: ["db"], restart: "never" }, web: { requires: ["api"] } })
    told.end("api").gone("api")
    expect(told.phases).toBe("db Ready, api Failed{Crashed}, web Ready")
    expect(told.order("Stop", "db").goWell().orders).toEqual(["stop web", "stop db"])
  })

  it("goes in the order of `after`, too", () => {
    const told = up({ web: { after: ["db"] }, db: {} }).order("Stop", "db", "web")
    expect(told.phases).toBe("db Ready, web Stopping{stop}")
    expect(told.goWell().orders).toEqual(["stop web", "stop db"])
  })

  it("leaves alone what only comes after it", () => {
    const told = up({ web: { after: ["db"], wants: ["db"] }, db: {} })
      .order("Stop", "db")
      .goWell()
    expect(told.phases).toBe("db Inactive, web Ready")
  })

  const everything: Units = {
    all: { kind: "target", requires: ["db", "web"] },
    db: {},
    web: { requires: ["db"] },
    other: { requires: ["db"] },
  }

  it("of a target takes its members along, whatever their order in it", () => {
    const { other: _, ...units } = everything
    const told = up(units).order("Stop", "all").goWell()
    expect(told.phases).toBe("db Inactive, web Inactive, all Inactive")
    expect(told.orders).toEqual(["stop web", "stop db"])
  })

  it("of a target leaves what somebody else needs", () => {
    const told = up(everything).order("Stop", "all").goWell()
    expect(told.phases).toBe("db Ready, web Inactive, all Inactive, other Ready")
  })

  it("of a target leaves what somebody else wants", () => {
    const told = up({ all: { kind: "target", wants: ["cache"] }, cache: {}, web: { wants: ["cache"] } })
    expect(told.order("Stop", "all").goWell().orders).toEqual([])
  })

  it("of a member takes its target down, and not the other members", () => {
    const told = up({ all: { kind: "target", requires: ["a", "b"] }, a: {}, b: {} })
    expect(told.order("Stop", "a").goWell().phases).toBe("a Inactive, b Ready, all Inactive")
  })

  it("leaves as it is who needs it and is down already", () => {
    const told = story({ db: {}, web: { requires: ["db"], restart: "never" }, api: { requires: ["db"] } })
    told.order("Start", "web").goWell().end("web").goWell().order("Stop", "db").goWell()
    expect(told.phases).toBe("db Inactive, web Failed{Crashed}, api Inactive")
    expect(told.state("api").desired).toBe("manual")
  })

  it("is not undone by anybody's crash", () => {
    const group: UnitSpec.Group = { strategy: "one-for-all", units: ["a", "b", "c"] }
    const told = up({ a: {}, b: {}, c: {} }, { group })
    told.order("Stop", "b").goWell().end("a").goWell()
    expect(told.phases).toBe("a Ready, b Inactive, c Ready")
    expect(told.orders).not.toContain("start b")
  })

  it("is not undone when what it is bound to comes back", () => {
    const told = up(boundChain).order("Stop", "b").goWell()
    told.end("a").goWell()
    expect(told.phases).toBe("a Ready, b Inactive, c Inactive")
  })

  it("is tried once more when something has survived KILL", () => {
    const told = up({ a: {} }).order("Stop", "a").survive("a")
    expect(told.phases).toBe("a Failed{StopTimeout}")
    told.order("Stop", "a").gone("a")
    expect(told.phases).toBe("a Inactive")
    expect(told.orders).toEqual(["stop a", "stop a"])
  })
})

describe("a restart", () => {
  it("takes what is bound down in order, and up again", () => {
    const told = up(boundChain).order("Restart", "a").goWell()
    expect(told.orders).toEqual(["stop c", "stop b", "stop a", "start a", "start b", "start c"])
    expect(told.phases).toBe("a Ready, b Ready, c Ready")
  })

  it("leaves alone what only requires it", () => {
    expect(up(webOnDb).order("Restart", "db").goWell().orders).toEqual(["stop db", "start db"])
  })

  it("waits for the start of a dependent that it breaks off", () => {
    const told = story(webOnDb).order("Start", "db").goWell().order("Start", "web").forget()
    told.order("Restart", "db")
    expect(told.phases).toBe("db Ready, web Stopping{dependency}")
    expect(told.goWell().orders).toEqual(["stop web", "stop db", "start db", "start web"])
  })

  it("of several goes in order", () => {
    const told = up(webOnDb).order("Restart", "db", "web").goWell()
    expect(told.orders).toEqual(["stop web", "stop db", "start db", "start web"])
  })

  it("begins by what its dependencies say then, when it fails while it waits for its turn", () => {
    const told = up({ db: {}, api: { after: ["db"] }, web: { after: ["api"] } })
    told.order("Stop", "api").goWell().order("Start", "api").forget()
    told.order("Restart", "db", "api", "web")
    expect(told.phases).toBe("db Ready, api Starting, web Stopping{restart}")
    told.happen("api", ({ _tag }) => _tag === "SpawnFailed", { spawnFails: ["retryable"] })
    expect(told.phases).toBe("db Ready, api Blocked, web Stopping{restart}")
    expect(told.goWell().phases).toBe("db Ready, api Ready, web Ready")
  })

  it("of a target is one of its members", () => {
    const told = up({ all: { kind: "target", requires: ["db", "web"] }, ...webOnDb })
    expect(told.order("Restart", "all").goWell().orders).toEqual([
      "stop web",
      "stop db",
      "start db",
      "start web",
    ])
    expect(told.phases).toBe("db Ready, web Ready, all Ready")
  })

  it("starts what is missing, and does not do again what is done", () => {
    const told = up({ migrate: { kind: "oneshot" }, db: {}, web: { requires: ["migrate", "db"] } })
    told.order("Restart", "web").goWell()
    expect(told.orders).toEqual(["stop web", "start web"])
    told.order("Stop", "db").goWell().forget().order("Restart", "web").goWell()
    expect(told.orders).toEqual(["start db", "start web"])
  })

  it("of what is down stops what conflicts with it, as a start does", () => {
    const told = story({ a: {}, b: { conflicts: ["a"] } })
      .order("Start", "a")
      .goWell()
      .forget()
    expect(told.order("Restart", "b").goWell().orders).toEqual(["stop a", "start b"])
  })

  it("of all members of a group that has failed starts them in order", () => {
    const units: Units = { a: {}, b: { restart: { maxFailures: 0 } }, c: {} }
    const told = up(units, { group: { strategy: "one-for-all", units: ["a", "b", "c"] } })
    told.end("b").goWell().forget()
    expect(told.phases).toBe("a Failed{DependencyFailed}, b Failed{Crashed}, c Failed{DependencyFailed}")
    expect(told.order("Restart", "a", "b", "c").goWell().orders).toEqual(["start a", "start b", "start c"])
  })
})

describe("what is bound", () => {
  it("goes down with what has crashed, in order, and comes back with it", () => {
    const told = up({ ...boundChain, d: { requires: ["a"] } }).end("a")
    expect(told.phases).toBe("a Stopping{exit}, b Ready, c Stopping{dependency}, d Ready")
    told.gone("c").gone("b").goWell()
    expect(told.orders).toEqual(["stop c", "stop b", "start a", "start b", "start c"])
    expect(told.phases).toBe("a Ready, b Ready, c Ready, d Ready")
  })

  it("goes down even when what has crashed is back before its turn has come", () => {
    const told = up(boundChain).end("a").gone("a").goWell("a")
    expect(told.phases).toBe("a Ready, b Ready, c Stopping{dependency}")
    expect(told.goWell().orders).toEqual(["stop c", "start a", "stop b", "start b", "start c"])
  })

  it("fails with what has failed", () => {
    const told = up({ a: { restart: "never" }, b: { bindsTo: ["a"] } })
      .end("a")
      .goWell()
    expect(told.phases).toBe("a Failed{Crashed}, b Failed{DependencyFailed}")
  })

  it("does not go down because what it is bound to is unwell, nor by way of a target", () => {
    const readiness = { tcp: {} }
    const told = up({
      db: { readiness, port: 1 },
      all: { kind: "target", requires: ["db"] },
      web: { bindsTo: ["all"] },
    })
    told.happen("db", ({ _tag }) => _tag === "ProbeFailed", { failures: 1 })
    expect(told.phases).toBe("db Degraded, all Degraded, web Ready")
    told.goWell()
    expect(told.phases).toBe("db Ready, all Ready, web Ready")
    expect(told.orders).toEqual([])
  })
})

describe("a hold", () => {
  it("takes units down, and those bound to them wait for them to come back", () => {
    const told = up({ ...boundChain, d: { requires: ["a"] } })
      .order("Hold", "a")
      .goWell()
    expect(told.phases).toBe("a Inactive, b Blocked, c Blocked, d Ready")
    expect(told.orders).toEqual(["stop c", "stop b", "stop a"])
    told.order("Start", "a").goWell()
    expect(told.phases).toBe("a Ready, b Ready, c Ready, d Ready")
  })
})

describe("conflicts", () => {
  const rivals: Units = { blue: {}, green: { conflicts: ["blue"] }, web: { requires: ["blue"] } }

  it("a start of the one stops the other, with those who need it, and waits until it is gone", () => {
    const told = story(rivals).order("Start", "web").goWell().forget().order("Start", "green")
    expect(told.phases).toContain("green Blocked")
    expect(told.goWell().orders).toEqual(["stop web", "stop blue", "start green"])
    expect(told.phases).toBe("blue Inactive, green Ready, web Inactive")
  })

  it("takes it back as well", () => {
    const told = story(rivals).order("Start", "green").goWell().order("Start", "web").order("Start", "green")
    told.goWell()
    expect(told.phases).toBe("blue Inactive, green Ready, web Inactive")
  })

  it("what is to come back after a crash does not", () => {
    const told = story(rivals).order("Start", "blue").goWell().end("blue").gone("blue")
    expect(told.phases).toContain("blue Backoff")
    told.order("Start", "green").goWell()
    expect(told.phases).toBe("blue Inactive, green Ready, web Inactive")
  })

  it("two in one order: the later one wins", () => {
    const told = story(rivals).order("Start", "web", "green").goWell()
    expect(told.orders).toEqual(["start green"])
    expect(told.phases).toBe("blue Inactive, green Ready, web Inactive")
  })

  it("what has survived KILL is tried once more, and is waited for", () => {
    const told = story(rivals).order("Start", "blue").goWell().order("Stop", "blue").survive("blue").forget()
    told.order("Start", "green")
    expect(told.phases).toBe("blue Stopping{stop}, green Blocked, web Inactive")
    expect(told.goWell().orders).toEqual(["stop blue", "start green"])
  })

  it("a target gives way at once", () => {
    const told = story({ day: { kind: "target" }, night: { kind: "target", conflicts: ["day"] } })
    told.order("Start", "day").order("Start", "night")
    expect(told.phases).toBe("day Inactive, night Ready")
  })

  it("a member that the new one needs as well stays", () => {
    const units: Units = {
      db: {},
      day: { kind: "target", requires: ["db"] },
      night: { requires: ["db"], conflicts: ["day"] },
    }
    const told = story(units).order("Start", "day").goWell().forget().order("Start", "night").goWell()
    expect(told.orders).toEqual(["start night"])
    expect(told.phases).toBe("db Ready, day Inactive, night Ready")
  })
})

describe("a shutdown", () => {
  it("stops everything, dependents first, and nothing starts any more", () => {
    const told = up({ ...webOnDb, all: { kind: "target", requires: ["web"] }, other: {} }).shutdown()
    expect(told.orders.toSorted()).toEqual(["stop other", "stop web"])
    told.order("Start", "web").order("Restart", "db").goWell()
    expect(told.orders).toHaveLength(3)
    expect(told.phases).toBe("db Inactive, web Inactive, all Inactive, other Inactive")
  })

  it("breaks off starts", () => {
    const told = story(webOnDb).order("Start", "web").shutdown().goWell()
    expect(told.orders).toEqual(["start db", "stop db"])
    expect(told.phases).toBe("db Inactive, web Inactive")
  })

  it("lets nothing come back that is being restarted", () => {
    const told = up(webOnDb).order("Restart", "db").shutdown()
    expect(told.gone("db").orders).toEqual(["stop db", "stop web"])
    told.goWell()
    expect(told.phases).toBe("db Inactive, web Inactive")
  })

  it("does not wait for ever for a dependent that survives KILL", () => {
    const told = up(webOnDb).shutdown().survive("web").goWell()
    expect(told.phases).toBe("db Inactive, web Failed{StopTimeout}")
  })

  it("tries once more to end what has survived KILL before, and goes on", () => {
    const told = up(webOnDb).order("Stop", "web").survive("web").forget().shutdown()
    expect(told.orders).toEqual(["stop web"])
    told.survive("web").goWell()
    expect(told.phases).toBe("db Inactive, web Failed{StopTimeout}")
  })

  it("is not weakened by a stop", () => {
    const told = up(webOnDb).shutdown().order("Stop", "db").goWell()
    expect(told.state("db").closed).toBe(true)
    expect(told.phases).toBe("db Inactive, web Inactive")
  })
})

describe("a target", () => {
  it("is Ready when all that it requires is, and not before", () => {
    const told = story({ all: { kind: "target", requires: ["a", "b"] }, a: {}, b: {} }).order("Start", "all")
    told.goWell("a")
    expect(told.state("all").phase._tag).toBe("Blocked")
    told.goWell()
    expect(told.state("all").phase._tag).toBe("Ready")
  })

  it("waits for what is lost, and comes back", () => {
    const told = up({ all: { kind: "target", requires: ["a"] }, a: {} }).end("a")
    expect(told.phases).toBe("a Stopping{exit}, all Blocked")
    told.goWell()
    expect(told.phases).toBe("a Ready, all Ready")
  })

  it("that is Ready does not care for what only its order concerns", () => {
    const told = up({ all: { kind: "target", after: ["a"] }, a: {} })
      .end("a")
      .gone("a")
    expect(told.phases).toBe("a Backoff, all Ready")
  })
})

describe("the strategies of OTP", () => {
  const ends = { normal: 0, abnormal: 1 } as const
  const policies = { permanent: "always", transient: "on-failure", temporary: "never" } as const
  const strategies = ["one-for-one", "one-for-all", "rest-for-one"] as const
  const isRestarted = (type: keyof typeof policies, end: keyof typeof ends): boolean =>
    type === "permanent" || (type === "transient" && end === "abnormal")
  const restarts = {
    "one-for-one": ["start b"],
    "one-for-all": ["stop c", "stop a", "start a", "start b", "start c"],
    "rest-for-one": ["stop c", "start b", "start c"],
  }

  for (const strategy of strategies) {
    for (const type of ["permanent", "transient", "temporary"] as const) {
      for (const end of ["normal", "abnormal"] as const) {
        const expected = isRestarted(type, end) ? restarts[strategy] : []
        const words = expected.length === 0 ? "nobody is restarted" : expected.join(", ")
        it(`${strategy}, ${type}, ${end}: ${words}`, () => {
          const restart = policies[type]
          const told = up(
            { a: { restart }, b: { restart }, c: { restart } },
            { group: { strategy, units: ["a", "b", "c"] } },
          )
          told.end("b", ends[end]).goWell()
          expect(told.orders).toEqual(expected)
          const b = expected.length > 0 ? "Ready" : end === "normal" ? "Exited" : "Failed{Crashed}"
          expect(told.phases).toBe(`a Ready, b ${b}, c Ready`)
        })
      }
    }
  }

  for (const strategy of ["one-for-all", "rest-for-one"] as const) {
    it(`${strategy}: a temporary bystander goes down, and is not restarted`, () => {
      const told = up(
        { a: { restart: "always" }, b: { restart: "never" } },
        { group: { strategy, units: ["a", "b"] } },
      )
      told.end("a", 0).goWell()
      expect(told.orders).toEqual(["stop b", "start a"])
      expect(told.phases).toBe("a Ready, b Inactive")
      // It is as if it had never been there.
      told.end("a").goWell()
      expect(told.phases).toBe("a Ready, b Inactive")
    })

    it(`${strategy}: those who go down together start only when all of them are down`, () => {
      const told = up({ a: {}, b: {}, c: {} }, { group: { strategy, units: ["a", "b", "c"] } })
      told.end("a").gone("a").goWell("a")
      expect(told.phases).toBe("a Blocked, b Ready, c Stopping{group}")
      told.gone("c")
      expect(told.phases).toBe("a Blocked, b Stopping{group}, c Blocked")
      told.gone("b")
      expect(told.phases).toBe("a Starting, b Blocked, c Blocked")
      expect(told.goWell().orders).toEqual(["stop c", "stop b", "start a", "start b", "start c"])
    })

    it(`${strategy}: members that depend on each other go down in order as well`, () => {
      const told = up(
        { lead: {}, web: { requires: ["db"] }, db: {} },
        { group: { strategy, units: ["lead", "db", "web"] } },
      )
      told.end("lead").goWell()
      expect(told.orders).toEqual(["stop web", "stop db", "start lead", "start db", "start web"])
    })

    it(`${strategy}: another one fails while they are restarted, and all are tried again`, () => {
      const told = up({ a: {}, b: {} }, { group: { strategy, units: ["a", "b"] } })
      told.end("a").goWell("a").gone("b").goWell("a").spawned("b").end("b").goWell()
      expect(told.phases).toBe("a Ready, b Ready")
    })
  }

  it("one-for-all: more failures than may be take all of them down", () => {
    const restart = { maxFailures: 1 }
    const told = up(
      { a: { restart }, b: { restart }, c: { restart } },
      { group: { strategy: "one-for-all", units: ["a", "b", "c"] } },
    )
    told.end("b").goWell().forget().end("b").goWell()
    expect(told.orders).toEqual(["stop c", "stop a"])
    expect(told.phases).toBe(
      "a Failed{DependencyFailed}, b Failed{RestartsExhausted}, c Failed{DependencyFailed}",
    )
    expect(told.order("Start", "a", "b", "c").goWell().phases).toBe("a Ready, b Ready, c Ready")
  })

  it("one-for-all: who goes down for good names the one that has failed by itself", () => {
    const restart = { maxFailures: 0 }
    const told = story(
      { x: {}, a: { requires: ["x"] }, b: { restart }, c: {} },
      { group: { strategy: "one-for-all", units: ["a", "b", "c"] } },
    )
    told.order("Start", "b", "c").goWell().order("Start", "a").end("b").gone("b")
    expect(told.phases).toBe(
      "x Starting, a Failed{DependencyFailed}, b Failed{Crashed}, c Stopping{dependency}",
    )
    told.goWell()
    expect(told.state("a").failure).toMatchObject({ name: "b" })
    expect(told.state("c").failure).toMatchObject({ name: "b" })
  })

  it("one-for-all: a start of one member takes along those that have failed and keep it down", () => {
    const restart = { maxFailures: 0 }
    const told = up(
      { a: { restart }, b: { restart }, c: { restart } },
      { group: { strategy: "one-for-all", units: ["a", "b", "c"] } },
    )
    told.order("Stop", "c").goWell().end("b").goWell()
    expect(told.phases).toBe("a Failed{DependencyFailed}, b Failed{Crashed}, c Inactive")
    expect(told.order("Start", "a").goWell().phases).toBe("a Ready, b Ready, c Inactive")
  })

  it("rest-for-one: more failures than may be take those after it down", () => {
    const restart = { maxFailures: 0 }
    const told = up(
      { a: { restart }, b: { restart }, c: { restart } },
      { group: { strategy: "rest-for-one", units: ["a", "b", "c"] } },
    )
    told.end("b").goWell()
    expect(told.phases).toBe("a Ready, b Failed{Crashed}, c Failed{DependencyFailed}")
  })

  it("one-for-one: more failures than may be are nothing to the others", () => {
    const restart = { maxFailures: 0 }
    const told = up(
      { a: { restart }, b: { restart } },
      { group: { strategy: "one-for-one", units: ["a", "b"] } },
    )
    told.end("a").goWell()
    expect(told.phases).toBe("a Failed{Crashed}, b Ready")
  })

  it("a stable period forgets the failures", () => {
    const told = up({ a: { restart: { maxFailures: 1 } } })
    told.end("a").goWell()
    expect(told.state("a").failures).toBe(1)
    told.happen("a", (event) => event._tag === "Timer" && event.timer === "stable")
    expect(told.state("a").failures).toBe(0)
    told.end("a").goWell()
    expect(told.phases).toBe("a Ready")
    told.end("a").goWell()
    expect(told.phases).toBe("a Failed{RestartsExhausted}")
    expect(told.state("a").restarts).toBe(2)
  })

  it("a crash takes the group along when the unit itself has to wait for something else", () => {
    const told = up(
      { x: {}, a: { requires: ["x"] }, b: {} },
      { group: { strategy: "one-for-all", units: ["b", "a"] } },
    )
    told.end("x").end("a").gone("a")
    expect(told.state("a").phase._tag).toBe("Blocked")
    expect(told.orders).toContain("stop b")
    told.goWell()
    expect(told.phases).toBe("x Ready, b Ready, a Ready")
  })
})

describe("other units", () => {
  it("what waits is looked at again: a rival is not there any more", () => {
    const before = story({ a: {}, b: { conflicts: ["a"] } })
      .order("Start", "a")
      .goWell()
    const after = systemOf({ b: {} })
    const { world } = System.step(
      after,
      System.exchange(after, before.order("Start", "b").moment.world, new Set()),
      { _tag: "Start", names: [] },
    )
    expect(System.stateOf(world, "b").phase._tag).toBe("Starting")
  })

  it("those that stay as they are keep their state, changed ones begin anew", () => {
    const told = up({ a: {}, b: {} }).end("b").goWell().order("Hold", "b").goWell()
    const next = systemOf({ a: {}, b: {}, c: {} })
    const world = System.exchange(next, told.moment.world, new Set(["b"]))
    expect(System.stateOf(world, "a")).toBe(told.state("a"))
    expect(System.stateOf(world, "b")).toMatchObject({
      phase: { _tag: "Inactive" },
      generation: 2,
      failures: 0,
      restarts: 1,
      // What comes late from before hits nothing.
      token: told.state("b").token,
    })
    expect(System.stateOf(world, "c")).toMatchObject({ desired: "manual", generation: 0 })
  })

  it("what happens to a unit that is not there any more changes nothing", () => {
    const told = up({ a: {} })
    const { changes, effects } = System.step(told.system, told.moment.world, {
      _tag: "Happening",
      unit: "gone",
      event: { _tag: "Start" },
    })
    expect([changes, effects]).toEqual([[], []])
  })
})

describe("many units", () => {
  const chain = (length: number): Units =>
    Object.fromEntries(Array.from({ length }, (_, n) => [`u${n}`, n === 0 ? {} : { bindsTo: [`u${n - 1}`] }]))

  it("in a chain: a loss at its head is known at its tail, without an overflow", () => {
    const length = 3_000
    const told = new Story(systemOf(chain(length)))
    const names = told.system.graph.order
    let moment = told.moment.world
    const tell = (input: System.Command | System.Happening) => {
      const outcome = System.step(told.system, moment, input)
      moment = outcome.world
      return outcome
    }
    tell({ _tag: "Start", names })
    for (const unit of names) {
      const generation = 1
      tell({ _tag: "Happening", unit, event: { _tag: "Spawned", generation, adopted: false } })
      const token = System.stateOf(moment, unit).armed.uptime!
      tell({ _tag: "Happening", unit, event: { _tag: "Timer", timer: "uptime", token } })
    }
    expect(System.stateOf(moment, names.at(-1)!).phase._tag).toBe("Ready")
    const end = { _tag: "Exited", code: 1 } as const
    const { effects } = tell({
      _tag: "Happening",
      unit: "u0",
      event: { _tag: "Ended", generation: 1, end },
    })
    expect(effects.flatMap(({ effect, unit }) => (effect._tag === "StopInstance" ? [unit] : []))).toEqual([
      names.at(-1),
    ])
  })
})
