/**
 * Keeps what nobody may see apart from the record: the true command, variables and input of a job that hides any of
 * them. They are needed until the job has started for the last time, and are erased then.
 */
import * as Schema from "effect/Schema"
import * as Mask from "../process/Mask.js"
import type { JobRecord } from "./JobRecord.js"
import { hasEnded, lastAttempt, triesLeft } from "./JobRecord.js"
import { JobSpec } from "./JobSpec.js"

/** The true fields, where some of them are hidden in the record. */
export const JobSecrets = Schema.Struct({
  command: JobSpec.fields.command,
  env: Schema.Record({ key: Schema.String, value: Schema.String }),
  stdin: Schema.Union(
    Schema.Literal("null", "pipe"),
    Schema.Struct({ text: Schema.String }),
    Schema.Struct({ base64: Schema.String }),
    Schema.Struct({ file: Schema.String }),
  ),
})
export type JobSecrets = typeof JobSecrets.Type

/** A spec that may be shown, which fields of it hide something, and what they hide. */
export interface Hidden {
  readonly shown: JobSpec
  readonly hidden: ReadonlyArray<string>
  readonly secrets: JobSecrets | undefined
}

/**
 * Takes the secrets out of a spec: values of masked variables wherever they stand, and given input.
 *
 * @param inherited the variables that the job inherits, unless it says otherwise
 */
export const hide = (spec: JobSpec, inherited: Mask.Variables): Hidden => {
  // To copy the program's variables takes longer than all the rest.
  const variables = spec.mask.length === 0 ? {} : { ...(spec.inheritEnv ? inherited : {}), ...spec.env }
  const redact = Mask.make(spec.mask, variables)
  const command = spec.command.map(redact) as unknown as JobSpec["command"]
  const env = Mask.redactVariables(spec.env, spec.mask, redact)
  const given = typeof spec.stdin === "object" && !("file" in spec.stdin)
  const hidden = [
    ...(command.some((part, index) => part !== spec.command[index]) ? ["command"] : []),
    ...Object.keys(env).flatMap((name) => (env[name] === spec.env[name] ? [] : [`env.${name}`])),
    ...(given ? ["stdin"] : []),
  ]
  if (hidden.length === 0) return { shown: spec, hidden, secrets: undefined }
  return {
    shown: { ...spec, command, env, stdin: given ? { text: Mask.placeholder } : spec.stdin },
    hidden,
    secrets: { command: spec.command, env: spec.env, stdin: spec.stdin },
  }
}

/** The spec with its secrets put back. */
export const reveal = (shown: JobSpec, secrets: JobSecrets): JobSpec => ({ ...shown, ...secrets })

/** Whether the secrets may still be needed: not once the last start is known to have happened, or the job is over. */
export const areNeeded = (record: JobRecord): boolean =>
  !hasEnded(record) &&
  (record.state._tag !== "running" || lastAttempt(record)?.process === undefined || triesLeft(record) > 0)
