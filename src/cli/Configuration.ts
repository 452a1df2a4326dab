/** The configuration file that a command is about. */
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Config from "../config/Config.js"
import { type ConfigError, ConfigInvalid, ConfigUnreadable } from "../config/ConfigError.js"
import type { World } from "./World.js"
import { Failure } from "./World.js"

/** A configuration, and the file as the user would name it. */
export interface Found {
  readonly config: Config.Config
  readonly name: string
}

/** As the user named it, in place of the whole path. */
const named = (error: ConfigError, name: string): ConfigError => {
  switch (error._tag) {
    case "ConfigInvalid":
      return new ConfigInvalid({ file: name, faults: error.faults })
    case "ConfigUnreadable":
      return new ConfigUnreadable({ file: name, reason: error.reason })
    case "ConfigNotFound":
      return error
  }
}

/** Reads the file that was named, else the one of the usual name in the directory that the command was called in. */
export const load = (
  given: string | undefined,
  { cwd, env }: Pick<World, "cwd" | "env">,
): Effect.Effect<Found, ConfigError> =>
  Effect.gen(function* () {
    const file = given === undefined ? yield* Config.find(cwd) : path.resolve(cwd, given)
    const name = given ?? path.basename(file)
    const config = yield* Effect.mapError(Config.load(file, { env }), (error) => named(error, name))
    return { config, name }
  })

/** Says why nothing can be done with it: a sentence, then each fault in a line of its own, as compilers have them. */
export const failure = (error: ConfigError, consequence: string): Failure =>
  new Failure(
    error._tag === "ConfigInvalid"
      ? `The configuration cannot be used, and ${consequence}.\n${error.message}`
      : error.message,
    "config_invalid",
  )
