/** Spans that cost nothing in an app that traces nothing. */
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"

/** Effect's own tracer, whose spans go nowhere. */
const silent = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/**
 * As `Effect.withSpan`, for what is called often: only in an app that provides a tracer, and without a stack trace in
 * the span. After a spawn everything in memory has to be fetched anew, so that little things cost much.
 */
export const withSpan = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  name: string,
  attributes: () => Record<string, unknown>,
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.tracerWith((tracer) =>
    tracer === silent
      ? (effect as Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>>)
      : Effect.withSpan(effect, name, { attributes: attributes(), captureStackTrace: false }),
  )

const noAttributes = () => ({})

/**
 * As `Effect.fn(name)`, for what is called often: its span is one of {@link withSpan}, where `Effect.fn` makes an `Error`
 * and a span for each call, whether anybody looks at them or not.
 */
export const fn = (name: string): Effect.fn.Gen & Effect.fn.NonGen => {
  type Args = ReadonlyArray<unknown>
  type Body = (...args: Args) => Effect.Effect<unknown> | Generator<never, unknown, never>
  type Step = (effect: Effect.Effect<unknown>, ...args: Args) => Effect.Effect<unknown>
  const traced =
    (body: Body, ...steps: ReadonlyArray<Step>) =>
    (...args: Args) => {
      const begun = Effect.suspend(() => {
        const made = body(...args)
        return Effect.isEffect(made) ? made : Effect.gen(() => made)
      })
      return withSpan(
        steps.reduce((effect, step) => step(effect, ...args), begun),
        name,
        noAttributes,
      )
    }
  return traced as never
}
