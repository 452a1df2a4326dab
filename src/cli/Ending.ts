/** The end of a program that ran in Effect, as a command has it. In the built program it is a part of `Daemon`. */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { World } from "./World.js"
import { Failure, isFailure } from "./World.js"

/** How long a reader who is stuck may hold up the end, in milliseconds. */
const lastWords = 500

/** The exit code of a program that has ended, once what it said is written, or cannot be. Throws what it failed with. */
export const settle = async (
  exit: Exit.Exit<number, { readonly message: string }>,
  { err, exit: leave, out }: Pick<World, "err" | "exit" | "out">,
): Promise<number> => {
  if (Exit.isSuccess(exit)) {
    const settled = await Promise.all([err.settled(lastWords), out.settled(lastWords)])
    if (settled.includes(false)) leave(exit.value)
    return exit.value
  }
  const expected = Cause.failureOption(exit.cause)
  if (Option.isNone(expected)) throw Cause.squash(exit.cause)
  throw isFailure(expected.value) ? expected.value : new Failure(expected.value.message, "unavailable")
}
