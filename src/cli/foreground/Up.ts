/** `up`: units in the foreground, without a daemon. In the built program it is a part of `Daemon`. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Configuration from "../Configuration.js"
import * as Ending from "../Ending.js"
import type { Handler } from "../Handler.js"
import * as Interrupts from "../Interrupts.js"
import { rootOf } from "../Root.js"
import type * as Syntaxes from "../Syntaxes.js"
import { exitCode } from "../World.js"
import * as Foreground from "./Foreground.js"

/** Keeps units up until they are to stop, or all have ended. */
export const up: Handler<typeof Syntaxes.up> = async ({ args, options }, world) => {
  const root = rootOf(options.root, world)
  const [stop, hasten] = [Deferred.unsafeMake<void>(FiberId.none), Deferred.unsafeMake<void>(FiberId.none)]
  // To the very end: a signal that comes late must not be what ends the program.
  Interrupts.watch(["SIGINT", "SIGTERM", "SIGHUP"], world, (count) => {
    if (count === 1) Deferred.unsafeDone(stop, Exit.void)
    else if (count === 2) Deferred.unsafeDone(hasten, Exit.void)
    // The guardian sees to it that nothing is left.
    else world.exit(exitCode.interrupted)
  })
  const all = Effect.gen(function* () {
    const found = yield* Effect.mapError(Configuration.load(options.file, world), (error) =>
      Configuration.failure(error, "nothing was started"),
    )
    const { json: isJson, timestamps } = options
    return yield* Foreground.run({ found, names: args, root, isJson, timestamps, world, stop, hasten })
  })
  return Ending.settle(await Effect.runPromiseExit(all), world)
}
