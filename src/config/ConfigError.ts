/** Why a configuration cannot be used, told the way compilers do: file, line, column, then what is wrong there. */
import * as Schema from "effect/Schema"

/** One thing wrong with a configuration file. */
export const Fault = Schema.Struct({
  /** From 1. */
  line: Schema.Int,
  /** From 1, in UTF-16 units, as editors count. */
  column: Schema.Int,
  /** What it is about, such as `units.web.ports[0]`; empty for the file as a whole. */
  path: Schema.String,
  /** What is wrong, and what is allowed. No value of a masked variable or of an env file is in it. */
  message: Schema.String,
})
export type Fault = typeof Fault.Type

/** A file with more faults than this has the rest of them left out. */
export const mostFaults = 1_000

const printed = 50

/** A configuration that says what cannot be: all faults at once, in the order of the file. Nothing was started or changed. */
export class ConfigInvalid extends Schema.TaggedError<ConfigInvalid>()("ConfigInvalid", {
  /** As it was named to Holdfast. */
  file: Schema.String,
  faults: Schema.Array(Fault),
}) {
  override get message(): string {
    const lines = this.faults
      .slice(0, printed)
      .map(
        ({ column, line, message, path }) =>
          `${this.file}:${line}:${column}: ${path === "" ? "" : `${path}: `}${message}`,
      )
    const more = this.faults.length - lines.length
    return (more > 0 ? [...lines, `... and ${more} more`] : lines).join("\n")
  }
}

/** A configuration file that cannot be read at all. */
export class ConfigUnreadable extends Schema.TaggedError<ConfigUnreadable>()("ConfigUnreadable", {
  /** As it was named to Holdfast. */
  file: Schema.String,
  /** What is the matter: "it does not exist". */
  reason: Schema.String,
}) {
  override get message(): string {
    return `The configuration file "${this.file}" cannot be used: ${this.reason}.`
  }
}

/** No file was named, and there is none of the usual name. */
export class ConfigNotFound extends Schema.TaggedError<ConfigNotFound>()("ConfigNotFound", {
  directory: Schema.String,
  /** The names that were looked for. */
  names: Schema.Array(Schema.String),
}) {
  override get message(): string {
    return `There is no ${this.names.join(" and no ")} in "${this.directory}". Write one, or name another file (-f FILE).`
  }
}

/** Why there is no configuration. */
export const ConfigError = Schema.Union(ConfigInvalid, ConfigUnreadable, ConfigNotFound)
export type ConfigError = typeof ConfigError.Type
