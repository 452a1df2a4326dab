/** `completions`: what a shell needs to complete the rest. */
import { UsageError } from "../Arguments.js"
import * as Completions from "../Completions.js"
import type { Handler } from "../Handler.js"
import { nearest } from "../../process/Nearest.js"
import * as Syntaxes from "../Syntaxes.js"
import { exitCode } from "../World.js"

/** Prints the script for a shell. */
export const completions: Handler<typeof Syntaxes.completions> = async ({ args }, world) => {
  const shells = { bash: Completions.bash, zsh: Completions.zsh, fish: Completions.fish }
  const name = args[0]!
  const script = Object.entries(shells).find(([shell]) => shell === name)?.[1]
  if (script === undefined) {
    const near = nearest(name, Object.keys(shells))
    throw new UsageError(
      `there are no completions for ${JSON.stringify(name)}; ${near === undefined ? "there are some for bash, zsh and fish" : `did you mean ${near}?`}`,
    )
  }
  await world.out.write(script(Syntaxes.syntaxes))
  return exitCode.ok
}
