/** Which program runs OpenCode. */
import { resolve } from "node:path"
import * as Either from "effect/Either"
import { InvalidSpec } from "../../process/InvalidSpec.js"
import type * as Mask from "../../process/Mask.js"
import * as ShellWords from "./ShellWords.js"

/** The variable that names the program: a path, or a name to be found on `PATH`. */
export const binaryVariable = "OPENCODE_BINARY"

/** The variable with arguments that come before `serve`, as a shell would split them: `--yes opencode-ai@1.18.33`. */
export const argumentsVariable = "OPENCODE_BINARY_ARGS"

/** The program where nobody names one. */
export const defaultBinary = "opencode"

/** Variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>

/** What a caller says of it. */
export interface Input {
  readonly binary?: string | undefined
  readonly binaryArgs?: ReadonlyArray<string> | undefined
}

/** A path is one from here, not from the directory of the server. */
const located = (binary: string): string => (binary.includes("/") ? resolve(binary) : binary)

/**
 * The program and the arguments that come before `serve`. A caller's `binary` goes before {@link binaryVariable}; the
 * arguments in {@link argumentsVariable} belong to the program that is named there, and count only for that one.
 */
export const make = (
  { binary, binaryArgs }: Input,
  environment: Environment,
  redact: Mask.Redact,
): Either.Either<readonly [string, ...Array<string>], InvalidSpec> => {
  if (binary !== undefined) return Either.right([located(binary), ...(binaryArgs ?? [])])
  const named = environment[binaryVariable]?.trim() ?? ""
  const program = named === "" ? defaultBinary : located(named)
  const given = environment[argumentsVariable] ?? ""
  return Either.mapBoth(binaryArgs === undefined ? ShellWords.split(given) : Either.right(binaryArgs), {
    onLeft: (fault) =>
      new InvalidSpec({
        what: "launcher of OpenCode",
        issues: [
          { field: argumentsVariable, value: JSON.stringify(redact(given)), allowed: `expected ${fault}` },
        ],
      }),
    onRight: (words) => [program, ...words] as const,
  })
}
