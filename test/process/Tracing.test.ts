import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as Tracing from "../../src/process/Tracing.js"

/** Effect's own tracer, noting the names of its spans. */
const noting = Effect.map(Effect.tracer, (native) => {
  const names: Array<string> = []
  const tracer = Tracer.make({
    span: (...about) => {
      names.push(about[0])
      return native.span(...about)
    },
    context: (run) => run(),
  })
  return { names, tracer }
})

const half = Tracing.fn("half")(function* (value: number) {
  const even = yield* value % 2 === 0 ? Effect.succeed(value) : Effect.fail(`${value} is odd`)
  return even / 2
})

const twice = Tracing.fn("twice")((value: number) => Effect.succeed(value * 2))

describe("a function that is traced where somebody looks", () => {
  it.effect("does what it does, again and again, and each time anew", () =>
    Effect.gen(function* () {
      const once = half(4)
      assert.deepStrictEqual(yield* Effect.all([once, once, twice(3)]), [2, 2, 6])
      assert.strictEqual(yield* Effect.flip(half(3)), "3 is odd")
    }),
  )

  it.effect("goes through the steps that come after it, which are given the arguments too", () =>
    Effect.gen(function* () {
      const safe = Tracing.fn("safe")(
        function* (value: number) {
          return yield* half(value)
        },
        (effect, value) => Effect.orElseSucceed(effect, () => -value),
      )
      assert.deepStrictEqual(yield* Effect.all([safe(8), safe(3)]), [4, -3])
    }),
  )

  it.effect("is a span in an app with a tracer, and no parent for others in one without", () =>
    Effect.gen(function* () {
      const { names, tracer } = yield* noting
      const parent = Tracing.fn("outer")(() => Effect.option(Effect.currentSpan))
      assert.isTrue(Option.isNone(yield* parent()))
      const seen = yield* Effect.andThen(half(2), parent()).pipe(Effect.withTracer(tracer))
      assert.deepStrictEqual(names, ["half", "outer"])
      assert.strictEqual(Option.getOrThrow(seen).name, "outer")
    }),
  )

  it.effect("begins nothing before it is run, and a defect in it is one of the effect", () =>
    Effect.gen(function* () {
      let calls = 0
      const broken = Tracing.fn("broken")((): Effect.Effect<never> => {
        calls++
        throw new Error("not today")
      })
      const effect = broken()
      assert.strictEqual(calls, 0)
      const cause = yield* Effect.flip(Effect.sandbox(effect))
      assert.include(Cause.pretty(cause), "not today")
      assert.strictEqual(calls, 1)
    }),
  )
})
