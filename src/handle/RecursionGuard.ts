/**
 * Keeps a program that was itself started by a managed resource from starting another one: an agent whose server runs
 * an agent, and so on without end. The mark is an environment variable that every child gets as `1`.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** The variable that marks a child, unless another one is named: `HOLDFAST_MANAGED`. */
export const defaultVariable = "HOLDFAST_MANAGED"

/** A start that was refused, as this program was itself started by a managed resource. Nothing was started. */
export class RecursionGuarded extends Schema.TaggedError<RecursionGuarded>()("RecursionGuarded", {
  /** What was not started. */
  what: Schema.String,
  variable: Schema.String,
  value: Schema.String,
  /** A sentence on what to do, in the place of the usual one. */
  advice: Schema.optional(Schema.String),
}) {
  readonly retryable = false
  override get message(): string {
    const advice =
      this.advice ??
      `Do without it or ask a person; if that is wrong here, unset ${this.variable} and try again.`
    return `${this.what} was not started: ${this.variable} is set to ${JSON.stringify(this.value)}, which means that this program runs inside of what another one has started. ${advice}`
  }
}

/** How to guard. */
export interface Options {
  /** The variable that is read, and that children get. Default {@link defaultVariable}. */
  readonly variable?: string | undefined
  /** Told to whoever is refused, in the place of the usual advice. */
  readonly advice?: string | undefined
  /** Where the variable is read, at each start. Default: this program's environment. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
}

/** Whether a value of the variable turns the guard on: unset, empty, blank, `0` and `false` do not, all else does. */
export const isOn = (value: string | undefined): value is string => {
  const word = value?.trim().toLowerCase() ?? ""
  return word !== "" && word !== "0" && word !== "false"
}

/** Fails with {@link RecursionGuarded} where the guard is on. Call it before a real start, never before a reuse. */
export const check = (what: string, options: Options = {}): Effect.Effect<void, RecursionGuarded> =>
  Effect.suspend(() => {
    const { advice, environment = process.env, variable = defaultVariable } = options
    const value = environment[variable]
    return isOn(value) ? new RecursionGuarded({ what, variable, value, advice }) : Effect.void
  })

/** What a child is to have in its environment, so that it does not start another one. */
export const childEnvironment = ({ variable = defaultVariable }: Options = {}): Readonly<
  Record<string, string>
> => ({ [variable]: "1" })
