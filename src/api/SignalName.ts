/** Signals as the API takes and names them. */
import * as Either from "effect/Either"
import * as Signal from "../process/Signal.js"
import * as ApiError from "./ApiError.js"

/** The signal of that name, with or without `SIG`. */
export const read = (name: string): Either.Either<Signal.Signal, ApiError.ApiError> => {
  const signal = Signal.parse(name)
  if (signal !== undefined) return Either.right(signal)
  const shown = JSON.stringify(name.length > 40 ? `${name.slice(0, 40)}…` : name)
  return Either.left(
    ApiError.make(
      "invalid_request",
      `There is no signal ${shown}; give one by name, such as TERM, INT, HUP or KILL.`,
    ),
  )
}

/** `TERM`. */
export const short = (signal: string): string => signal.replace(/^SIG/, "")
