import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleIntervals from "effect/ScheduleIntervals"
import * as Schema from "effect/Schema"
import * as RestartPolicy from "../../src/unit/RestartPolicy.js"

const decode = Schema.decodeUnknownSync(RestartPolicy.RestartPolicy)
const backoffOf = (given: unknown = {}): RestartPolicy.Backoff => decode({ backoff: given }).backoff

const crash = (failures: number, uptime = 0): RestartPolicy.Crash => ({
  end: { _tag: "Exited", code: 1 },
  uptime: Duration.millis(uptime),
  failures,
})

/** The delays that a schedule has for crashes, in milliseconds; `undefined`: it is done. */
const delaysOf = (schedule: RestartPolicy.RestartSchedule, crashes: ReadonlyArray<RestartPolicy.Crash>) =>
  Effect.gen(function* () {
    const now = 1_000_000
    const delays: Array<number | undefined> = []
    let state = schedule.initial
    for (const one of crashes) {
      const [next, , decision] = yield* schedule.step(now, one, state)
      state = next
      delays.push(
        ScheduleDecision.isDone(decision) ? undefined : ScheduleIntervals.start(decision.intervals) - now,
      )
    }
    return delays
  })

const inARow = (count: number): ReadonlyArray<RestartPolicy.Crash> =>
  Array.from({ length: count }, (_, index) => crash(index + 1))

describe("the backoff", () => {
  it.effect("is none before the first restart, then 100 ms doubling to 30 s", () =>
    Effect.gen(function* () {
      const delays = yield* delaysOf(RestartPolicy.schedule(backoffOf({ jitter: false })), inARow(13))
      expect(delays).toEqual([
        0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000, 30_000,
      ])
    }),
  )

  it.effect("has full jitter: anything from 0 up to that, and on average half of it", () =>
    Effect.gen(function* () {
      const schedule = RestartPolicy.schedule(backoffOf())
      for (const [failures, full] of [
        [2, 100],
        [5, 800],
        [20, 30_000],
      ] as const) {
        const crashes = Array.from({ length: 4_000 }, () => crash(failures))
        const delays = (yield* delaysOf(schedule, crashes)).map((delay) => delay!)
        expect(Math.min(...delays)).toBeGreaterThanOrEqual(0)
        expect(Math.max(...delays)).toBeLessThanOrEqual(full)
        // All of it is used: the ends and the middle.
        expect(Math.min(...delays)).toBeLessThan(full * 0.01)
        expect(Math.max(...delays)).toBeGreaterThan(full * 0.99)
        const mean = delays.reduce((sum, delay) => sum + delay, 0) / delays.length
        // Four standard deviations of the mean of 4,000 draws.
        expect(Math.abs(mean - full / 2)).toBeLessThan(full * 0.02)
        const below = delays.filter((delay) => delay < full / 4).length / delays.length
        expect(Math.abs(below - 0.25)).toBeLessThan(0.03)
      }
    }).pipe(Effect.withRandom(Random.make("jitter"))),
  )

  it.effect("still begins at once with jitter", () =>
    Effect.gen(function* () {
      const crashes = Array.from({ length: 100 }, () => crash(1))
      expect(new Set(yield* delaysOf(RestartPolicy.schedule(backoffOf()), crashes))).toEqual(new Set([0]))
    }),
  )

  it.effect("goes by the failures since the last stable period: it needs no resetting", () =>
    Effect.gen(function* () {
      const schedule = RestartPolicy.schedule(backoffOf({ jitter: false }))
      expect(yield* delaysOf(schedule, [crash(1), crash(2), crash(3), crash(1), crash(2)])).toEqual([
        0, 100, 200, 0, 100,
      ])
    }),
  )

  it.effect("has limits that can be set, and stays a number whatever they are", () =>
    Effect.gen(function* () {
      const own = backoffOf({ initial: "1s", factor: 3, max: "10s", jitter: false })
      expect(yield* delaysOf(RestartPolicy.schedule(own), inARow(5))).toEqual([
        0, 1_000, 3_000, 9_000, 10_000,
      ])
      const none = backoffOf({ initial: 0, factor: 100, jitter: false })
      expect(yield* delaysOf(RestartPolicy.schedule(none), [crash(2), crash(1_000_000)])).toEqual([0, 0])
      const huge = backoffOf({ factor: 100, jitter: false })
      expect(yield* delaysOf(RestartPolicy.schedule(huge), [crash(1_000_000)])).toEqual([30_000])
      const constant = backoffOf({ initial: "2s", factor: 1, jitter: false })
      expect(yield* delaysOf(RestartPolicy.schedule(constant), inARow(3))).toEqual([0, 2_000, 2_000])
    }),
  )

  it.effect("may be a schedule of one's own, which sees the crash and may be done", () =>
    Effect.gen(function* () {
      const three = Schedule.recurs(2) as RestartPolicy.RestartSchedule
      expect(yield* delaysOf(three, inARow(4))).toEqual([0, 0, undefined, undefined])
      const byUptime: RestartPolicy.RestartSchedule = Schedule.identity<RestartPolicy.Crash>().pipe(
        Schedule.addDelay(({ uptime }) => (Duration.toMillis(uptime) < 1_000 ? "5 seconds" : "1 second")),
      )
      expect(yield* delaysOf(byUptime, [crash(1, 10), crash(2, 60_000)])).toEqual([5_000, 1_000])
      const whileRetryable: RestartPolicy.RestartSchedule = Schedule.recurWhile<RestartPolicy.Crash>(
        ({ end }) => end._tag === "Exited" && end.code === 1,
      )
      const killed: RestartPolicy.Crash = { ...crash(2), end: { _tag: "Signaled", signal: "SIGKILL" } }
      expect(yield* delaysOf(whileRetryable, [crash(1), killed])).toEqual([0, undefined])
    }),
  )
})

describe("the class of an end", () => {
  const lists = {
    success: [3, "SIGTERM"],
    permanent: [77, "SIGSEGV"],
  } as unknown as Parameters<typeof RestartPolicy.classify>[0]
  const none = { success: [], permanent: [] }
  for (const [name, policy, end, expected] of [
    ["code 0", none, { _tag: "Exited", code: 0 }, "success"],
    ["another code", none, { _tag: "Exited", code: 1 }, "retryable"],
    ["a signal", none, { _tag: "Signaled", signal: "SIGTERM" }, "retryable"],
    ["a listed code of success", lists, { _tag: "Exited", code: 3 }, "success"],
    ["a listed signal of success", lists, { _tag: "Signaled", signal: "SIGTERM" }, "success"],
    ["a permanent code", lists, { _tag: "Exited", code: 77 }, "permanent"],
    ["a permanent signal", lists, { _tag: "Signaled", signal: "SIGSEGV" }, "permanent"],
    [
      "code 137, which is not SIGKILL",
      { ...none, permanent: [137] },
      { _tag: "Signaled", signal: "SIGKILL" },
      "retryable",
    ],
    [
      "SIGKILL, which is not code 137",
      { ...none, permanent: ["SIGKILL"] },
      { _tag: "Exited", code: 137 },
      "retryable",
    ],
    ["a code in both lists", { success: [5], permanent: [5] }, { _tag: "Exited", code: 5 }, "permanent"],
    ["code 0, where it is permanent", { ...none, permanent: [0] }, { _tag: "Exited", code: 0 }, "permanent"],
    ["an Effect that has succeeded", none, { _tag: "Succeeded" }, "success"],
    ["an Effect that has failed", none, { _tag: "Died", message: "It died." }, "retryable"],
  ] as const) {
    it(`${name}: ${expected}`, () =>
      expect(RestartPolicy.classify(policy as typeof lists, end)).toBe(expected))
  }
})

describe("a restart policy", () => {
  it("has defaults", () => {
    const policy = decode({})
    expect(policy).toMatchObject({ policy: "on-failure", maxFailures: 10, success: [], permanent: [] })
    expect(Duration.toMillis(policy.stableAfter)).toBe(10_000)
    expect(Duration.toMillis(policy.backoff.initial)).toBe(100)
    expect(Duration.toMillis(policy.backoff.max)).toBe(30_000)
    expect(policy.backoff).toMatchObject({ factor: 2, jitter: true })
  })

  it("may be a name alone", () => {
    expect(decode("always")).toEqual(decode({ policy: "always" }))
  })

  it("knows signals in any spelling", () => {
    expect(decode({ permanent: ["term", "SIGKILL", 3] }).permanent).toEqual(["SIGTERM", "SIGKILL", 3])
  })

  it("can be written again when it is decoded", () => {
    const policy = decode({ policy: "never", maxFailures: 0, success: [1, "HUP"], backoff: { max: "1m" } })
    expect(decode(Schema.encodeSync(RestartPolicy.RestartPolicy)(policy))).toEqual(policy)
  })
})
