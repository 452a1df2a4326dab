/** Where a daemon's units come from, so that it can be told to look again. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Plan } from "../unit/Plan.js"

/** The configuration cannot be used. What runs goes on as it is. */
export class PlanRefused extends Schema.TaggedError<PlanRefused>()("PlanRefused", {
  file: Schema.String,
  /** What is wrong with it and where, in whole sentences or lines. */
  reason: Schema.String,
}) {
  override get message(): string {
    return `The configuration cannot be used, and nothing was changed.\n${this.reason}`
  }
}

/** A configuration that can be read again. */
export interface Service {
  /** The file, for people. */
  readonly file: string
  /** What it says now. Nobody who asks through the API can choose another file, or bring a configuration along. */
  readonly plan: Effect.Effect<Plan, PlanRefused>
}

/** The configuration of this daemon. Without it there is nothing to reload. */
export class PlanSource extends Context.Tag("holdfast/api/PlanSource")<PlanSource, Service>() {}
