/**
 * What a unit is: the description of one thing that the supervisor keeps. Decode it with {@link make}, so that a bad
 * one is refused before anything is started. It is what stands under a unit's name in `holdfast.yaml`, too.
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as Check from "../probe/Check.js"
import { Port, urlFault } from "../probe/ProbeSpec.js"
import * as Bytes from "../process/Bytes.js"
import * as InvalidSpec from "../process/InvalidSpec.js"
import * as Mask from "../process/Mask.js"
import * as ProcessSpec from "../process/ProcessSpec.js"
import { TimeSpan } from "../process/TimeSpan.js"
import { RestartPolicy } from "./RestartPolicy.js"

const message = (allowed: string) => ({ message: () => ({ message: `expected ${allowed}`, override: true }) })

/** What {@link isName} wants. */
export const nameAllowed =
  "a unit's name: 1 to 64 letters, digits, '.', '_' or '-', the first one a letter or a digit"

/** Whether a text may name a unit. It becomes the name of a directory. */
export const isName = (name: string): boolean => /^[A-Za-z0-9][\w.-]{0,63}$/.test(name)

/** A unit's name. */
export const UnitName = Schema.String.pipe(Schema.filter((name) => isName(name))).annotations(
  message(nameAllowed),
)

/**
 * What a unit is:
 *
 * - `service`: a process that is to stay up;
 * - `oneshot`: a command that runs to its end, and has succeeded then;
 * - `target`: a name for a set of other units;
 * - `external`: a server of somebody else's, observed and never signalled;
 * - `task`: an Effect run inside of this program (library only).
 */
export const Kind = Schema.Literal("service", "oneshot", "target", "external", "task").annotations(
  message("service, oneshot, target or external, or task in a program that gives it an Effect"),
)
export type Kind = typeof Kind.Type

/**
 * What has to be so of a dependency: its process runs (`started`), it is Ready (`ready`), it has ended (`completed`), it
 * has ended with success (`succeeded`).
 */
export const Condition = Schema.Literal("started", "ready", "completed", "succeeded").annotations(
  message("started, ready, completed or succeeded"),
)
export type Condition = typeof Condition.Type

/** Units by name, each with what has to be so of it; undefined: `succeeded` of a oneshot, `ready` of all others. */
export type Conditions = Readonly<Record<string, Condition | undefined>>

const names = "a list of units' names"

// A title, not a message: what is wrong inside of it is told where it is.
const Names = Schema.Array(UnitName).annotations({ title: names })

const ConditionsFromInput = Schema.transform(
  Schema.Union(
    Names,
    Schema.Record({ key: Schema.String, value: Condition })
      .annotations({ title: "names each with a condition: started, ready, completed, succeeded" })
      .pipe(
        Schema.filter((given) =>
          Object.keys(given)
            .filter((name) => !isName(name))
            .map((name) => ({ path: [name], message: `expected ${nameAllowed}` })),
        ),
      ),
  ),
  Schema.typeSchema(Schema.Record({ key: Schema.String, value: Schema.UndefinedOr(Condition) })),
  {
    strict: true,
    decode: (given): Conditions =>
      Array.isArray(given)
        ? Object.fromEntries(given.map((name: string) => [name, undefined]))
        : { ...(given as Readonly<Record<string, Condition>>) },
    encode: (conditions) => {
      const all = Object.entries(conditions)
      return all.every(([, condition]) => condition === undefined)
        ? all.map(([name]) => name)
        : Object.fromEntries(all.map(([name, condition]) => [name, condition ?? "ready"]))
    },
  },
)

/** A list is executed as it stands, a text by `/bin/sh`. */
export const Command = Schema.Union(
  Schema.String.pipe(Schema.filter((text) => text.trim() !== "" && !text.includes("\0"))),
  ProcessSpec.Command,
).annotations(
  message("a command: a list of texts (the program, then its arguments), or one text for the shell"),
)
export type Command = typeof Command.Type

const Size = Schema.transform(
  Schema.Union(Schema.Number, Schema.String).pipe(
    Schema.filter((size) => {
      const bytes = Bytes.parse(String(size))
      return bytes !== undefined && bytes >= 1_024
    }),
  ),
  Schema.Number,
  { strict: true, decode: (size) => Bytes.parse(String(size))!, encode: (bytes) => bytes },
).annotations(message("a size such as 10MB or 512KiB (a bare number is bytes), at least 1KiB"))

const whole = (least: number, most: number) =>
  Schema.Int.pipe(Schema.between(least, most)).annotations(message(`a whole number from ${least} to ${most}`))

/** What is kept of a unit's output. */
export const Logs = Schema.Struct({
  /** Lines in memory. Default 1000. */
  lines: Schema.optionalWith(whole(1, 1_000_000), { default: () => 1_000 }),
  /** Of each file. Default 10 MB. */
  maxSize: Schema.optionalWith(Size, { default: () => 10_000_000 }),
  /** Files, the one that is written to among them; the oldest is dropped for a new one. Default 10; 0: none. */
  maxFiles: Schema.optionalWith(whole(0, 10_000), { default: () => 10 }),
})
export type Logs = typeof Logs.Type

const text = (allowed: string) =>
  Schema.String.pipe(
    Schema.filter((value) => value !== "" && !value.includes("\0"), { jsonSchema: { minLength: 1 } }),
  ).annotations(message(allowed))

const Path = text("a path: not empty, no NUL character")

const Flag = Schema.Boolean.annotations(message("true or false"))

/** A value of a variable. Numbers and truth values stand for their texts. */
const Value = Schema.Union(Schema.String, Schema.Number, Schema.Boolean)
  .annotations(message("a text"))
  .pipe(Schema.filter((value) => !String(value).includes("\0") || "expected a text without a NUL character"))

const orList = <A, I>(item: Schema.Schema<A, I>, allowed: string) =>
  Schema.transform(
    Schema.Union(item, Schema.Array(item)).annotations(message(allowed)),
    Schema.Array(Schema.typeSchema(item)),
    {
      strict: true,
      decode: (given) => (Array.isArray(given) ? (given as ReadonlyArray<A>) : [given as A]),
      encode: (items) => items,
    },
  )

const Span = TimeSpan

/** A URL of somebody else's server: absolute, without user, query and fragment. */
const Url = Schema.String.pipe(
  Schema.filter(
    (text) => urlFault(text) ?? (text.includes("?") ? "expected a URL without a query (?...)" : true),
  ),
)

const Texts = (what: string) =>
  Schema.Array(text(`a text in the list of ${what}`)).annotations({ title: `a list of ${what}` })

const empty = () => []

const fields = {
  /** Default `service`. */
  kind: Schema.optionalWith(Kind, { default: () => "service" as const }),
  /** For people. */
  description: Schema.optional(Schema.String),

  /** What a `service` or `oneshot` runs. `${port}` and `${NAME.port}` in it become ports. */
  command: Schema.optional(Command),
  /** Directory to run in. Default: that of the configuration file, else the program's own. */
  cwd: Schema.optional(Path),
  /** Variables that win over everything else. `${port}` and `${NAME.port}` in their values become ports. */
  env: Schema.optionalWith(
    Schema.Record({ key: Schema.String, value: Value }).annotations({ title: "variables by name" }),
    { default: () => ({}) },
  ),
  /** Files of `NAME=value` lines, later ones winning. Relative ones are looked up in `cwd`. */
  envFile: Schema.optionalWith(orList(Path, "a path, or a list of paths"), { default: empty }),
  /** Start from this program's own environment. Default true. */
  inheritEnv: Schema.optionalWith(Flag, { default: () => true }),
  /** Names of variables whose values must never be shown. */
  mask: Schema.optionalWith(Texts("names of variables"), { default: empty }),
  /** How to stop it. */
  stop: Schema.optionalWith(ProcessSpec.StopPolicy, {
    default: () => ({ signal: "SIGTERM" as const, grace: Duration.seconds(10) }),
  }),
  logs: Schema.optionalWith(Logs, { default: () => ({ lines: 1_000, maxSize: 10_000_000, maxFiles: 10 }) }),

  /** The port it listens on: `auto` is any that is free. What probes ask, unless they say. */
  port: Schema.optional(
    Schema.Union(Port, Schema.Literal("auto")).annotations(message("a port from 1 to 65535, or auto")),
  ),
  /** Other ports that it uses. */
  ports: Schema.optionalWith(Schema.Array(Port).annotations({ title: "a list of ports" }), {
    default: empty,
  }),
  /** Where probes ask. Default `localhost`, that is, every address which that name has. */
  host: Schema.optional(text("the name or address of a host")),
  /** Where an `external` answers. */
  url: Schema.optional(Url),

  /** These have to be up before it starts; one that fails makes it fail. */
  requires: Schema.optionalWith(ConditionsFromInput, { default: () => ({}) }),
  /** Order only: when these are on their way, it starts after them. */
  after: Schema.optionalWith(ConditionsFromInput, { default: () => ({}) }),
  /** Started along; their failure is nothing to it. */
  wants: Schema.optionalWith(Names, { default: empty }),
  /** As `requires`; and it goes down, and comes back, together with them. */
  bindsTo: Schema.optionalWith(Names, { default: empty }),
  /** Never up at the same time: a start of the one stops the other. */
  conflicts: Schema.optionalWith(Names, { default: empty }),
  /** How long it waits for what it depends on before it fails. Default: for ever. */
  dependencyTimeout: Schema.optional(Span),

  /** Gates the other two; failing its threshold restarts. */
  startup: Schema.optional(Check.Check),
  /** Decides Ready. Never restarts. */
  readiness: Schema.optional(Check.Check),
  /** Failing its threshold restarts. */
  liveness: Schema.optional(Check.Check),
  /** Passes while it is busy: then a restart for failing health waits. */
  busy: Schema.optional(Check.Check),
  /** How long such a restart waits at most. Default 2 min. */
  busyGrace: Schema.optionalWith(Span, { default: () => Duration.minutes(2) }),
  /** How long a start may take; never less than the probes need. Default 30 s; of a oneshot: no limit. */
  startTimeout: Schema.optional(
    Span.pipe(Schema.filter((time) => Duration.toMillis(time) > 0 || "expected a time over 0")),
  ),
  /** Without a probe it is Ready once it has been up for so long. Default 1 s. */
  minUptime: Schema.optionalWith(Span, { default: () => Duration.seconds(1) }),
  /** Whether the listener at its port must be the unit's own process, or one it started. Default true. */
  verifyListener: Schema.optionalWith(Flag, { default: () => true }),

  restart: Schema.optionalWith(RestartPolicy, { default: () => RestartPolicy.pipe(Schema.decodeSync)({}) }),
  /** Whether it starts with the supervisor. Default true. */
  autostart: Schema.optionalWith(Flag, { default: () => true }),

  /** What to do when somebody else's server answers in its place: `refuse`, or use it and own nothing. */
  foreign: Schema.optionalWith(
    Schema.Literal("refuse", "adopt-as-external").annotations(message("refuse or adopt-as-external")),
    { default: () => "refuse" as const },
  ),
  /** Whether a process that an earlier run left behind, as this store recorded it, is stopped for its port. */
  reclaim: Schema.optionalWith(
    Schema.Literal("recorded", "never").annotations(message("recorded or never")),
    { default: () => "recorded" as const },
  ),
  /** Kill whoever else holds its ports or is named in `processFilters`. Default false. */
  killOthers: Schema.optionalWith(Flag, { default: () => false }),
  /** Exact names of processes that `killOthers` kills. */
  processFilters: Schema.optionalWith(Texts("names of processes"), { default: empty }),
}

type Fields = Schema.Struct.Type<typeof fields>

type Fault = { readonly path: ReadonlyArray<PropertyKey>; readonly message: string }

const given = (unit: Fields, ...names: ReadonlyArray<keyof Fields>): ReadonlyArray<keyof Fields> =>
  names.filter((name) => {
    const value = unit[name]
    return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false
  })

/** Fields that mean something to what has a process only. */
const ofProcesses = ["command", "cwd", "envFile", "port", "ports", "killOthers", "processFilters"] as const

const faults = (unit: Fields): ReadonlyArray<Fault> => {
  const { kind } = unit
  const found: Array<Fault> = []
  const refuse = (allowed: string, ...names: ReadonlyArray<keyof Fields>) => {
    for (const name of given(unit, ...names)) found.push({ path: [name], message: `expected ${allowed}` })
  }
  const isProcess = hasProcess(unit)
  if (isProcess && unit.command === undefined) found.push({ path: ["command"], message: "it is required" })
  if (kind === "external" && unit.url === undefined) found.push({ path: ["url"], message: "it is required" })
  if (!isProcess) refuse(`it to be left out: kind ${kind} has no process`, ...ofProcesses)
  if (kind !== "external") refuse("it to be left out: only kind external has one", "url")
  if (kind === "target" || kind === "oneshot") {
    refuse(`it to be left out: kind ${kind} has no health`, "startup", "readiness", "liveness", "busy")
  }
  if (kind === "external")
    refuse(
      "it to be left out: somebody else's server is not restarted; use readiness",
      "liveness",
      "startup",
      "busy",
    )
  if (kind === "oneshot" && unit.restart.policy === "always")
    found.push({
      path: ["restart"],
      message: "expected on-failure or never: a oneshot is done when it has succeeded",
    })
  if (unit.processFilters.length > 0 && !unit.killOthers)
    found.push({ path: ["processFilters"], message: "expected it together with killOthers: true" })
  if (unit.killOthers && unit.port === undefined && unit.ports.length + unit.processFilters.length === 0)
    found.push({ path: ["killOthers"], message: "expected it together with port, ports or processFilters" })
  if (unit.foreign === "adopt-as-external" && unit.readiness === undefined && unit.startup === undefined)
    found.push({
      path: ["foreign"],
      message: "expected it together with a readiness probe, which says what to adopt",
    })
  for (const name of Object.keys(unit.env)) {
    if (!/^[^=\0]+$/.test(name)) found.push({ path: ["env", name], message: "expected a variable name" })
  }
  return found
}

/** The description of one unit. A `service` needs a `command`, an `external` a `url`; everything else has a default. */
export const UnitSpec = Schema.Struct(fields).pipe(
  Schema.filter((unit) => faults(unit).map(({ message, path }) => ({ path, message }))),
  Schema.annotations({ identifier: "Unit" }),
)
export type UnitSpec = typeof UnitSpec.Type

/** What a caller writes. */
export type Input = typeof UnitSpec.Encoded

/** Decodes a unit, or fails with `InvalidSpec` naming each bad field and what is allowed. Unknown fields are refused. */
export const make = InvalidSpec.decoder("unit", UnitSpec, Mask.ofInput)

/**
 * How a group of units goes down together, as in OTP: a crash restarts that one only (`one-for-one`), all of them
 * (`one-for-all`), or it and those after it (`rest-for-one`). Except in the first case they start in their order.
 */
export const Strategy = Schema.Literal("one-for-one", "one-for-all", "rest-for-one")
export type Strategy = typeof Strategy.Type

/** Units that go down together. */
export const Group = Schema.Struct({
  /** Default `one-for-one`. */
  strategy: Schema.optionalWith(Strategy.annotations(message("one-for-one, one-for-all or rest-for-one")), {
    default: () => "one-for-one" as const,
  }),
  /** In the order of their start. */
  units: Schema.NonEmptyArray(UnitName).annotations(message(`${names}, at least one`)),
}).annotations({ identifier: "Group" })
export type Group = typeof Group.Type

/** Whether a unit has an operating-system process. */
export const hasProcess = ({ kind }: Pick<UnitSpec, "kind">): boolean =>
  kind === "service" || kind === "oneshot"

/** Whether readiness is told by a probe. */
export const isProbed = ({ readiness, startup }: Pick<UnitSpec, "readiness" | "startup">): boolean =>
  readiness !== undefined || startup !== undefined
