/** The environment a process gets, and the marks by which its descendants are found again. */
import { resolve as resolvePath } from "node:path"
import * as Effect from "effect/Effect"
import * as Mask from "./Mask.js"
import type { ProcessSpec } from "./ProcessSpec.js"
import * as SmallFile from "./SmallFile.js"
import { FileUnusable } from "./SpawnError.js"

/** The id of the program run that owns a process. */
export const ownerVariable = "HOLDFAST_OWNER"

/**
 * The marks of every spawn a process descends from, outermost first, separated by spaces. Where one Holdfast program
 * runs inside another, `HOLDFAST_OWNER` names the inner one; the outer one still finds its own by this.
 */
export const lineageVariable = "HOLDFAST_LINEAGE"

/** The unit that a process is an instance of. */
export const unitVariable = "HOLDFAST_UNIT"
/** The job that a process is an attempt of. */
export const jobVariable = "HOLDFAST_JOB"

const readEnvFile = (path: string, redact: Mask.Redact) =>
  Effect.mapError(
    SmallFile.readVariables(path),
    (reason) => new FileUnusable({ field: "envFiles", path: redact(path), reason: redact(reason) }),
  )

/**
 * The complete environment of one spawn: inherited (unless the spec says no), then env files in order, then the
 * spec's own variables, then Holdfast's marks, which nothing overrides. Relative env files are looked up in the
 * spec's `cwd`.
 */
export const resolve = (
  spec: ProcessSpec,
  owner: string,
  mark: string,
): Effect.Effect<Mask.Variables, FileUnusable> =>
  Effect.map(
    spec.envFiles.length === 0
      ? Effect.succeed([])
      : Effect.forEach(spec.envFiles, (file) =>
          readEnvFile(resolvePath(spec.cwd ?? ".", file), Mask.ofInput(spec)),
        ),
    (files) => {
      const env: Mask.Variables = Object.assign({}, spec.inheritEnv ? process.env : {}, ...files, spec.env)
      const outer = process.env[lineageVariable]
      env[ownerVariable] = owner
      env[lineageVariable] = outer === undefined || outer === "" ? mark : `${outer} ${mark}`
      // Not those that this program itself was given.
      env[unitVariable] = spec.unit
      env[jobVariable] = spec.job
      return env
    },
  )
