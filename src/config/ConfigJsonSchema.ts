/**
 * The configuration file for editors: a JSON Schema (draft 7) of what may be written, made from the schema that reads
 * it. Wherever a text, a number or a word is expected, a text with variables will do too.
 *
 * `JSONSchema.make` knows no input side of lengths of time and signals, and puts bounds beside a `$ref`, where draft 7
 * ignores them.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as Check from "../probe/Check.js"
import * as ProbeSpec from "../probe/ProbeSpec.js"
import { StopPolicy } from "../process/ProcessSpec.js"
import { SignalName } from "../process/Signal.js"
import { TimeSpan } from "../process/TimeSpan.js"
import { Backoff, RestartPolicy } from "../unit/RestartPolicy.js"
import * as UnitSpec from "../unit/UnitSpec.js"
import { help } from "./ConfigHelp.js"
import { ConfigSchema, extension } from "./ConfigSchema.js"

/** A JSON Schema, or a part of one. */
export type Json = Readonly<Record<string, unknown>>

type Name = keyof typeof help

/** Where in the file a part stands: in which definition, under which of its keys. */
interface At {
  readonly name: Name
  readonly field: string
}

/** A schema, and what it does with a scalar: takes any text, takes some, or takes none. */
interface Part {
  readonly schema: Json
  readonly takes: "text" | "some" | "none"
}

/** Parts that have names of their own. */
const names = new Map<SchemaAST.AST, Name>([
  [ConfigSchema.ast, "Config"],
  [UnitSpec.UnitSpec.ast, "Unit"],
  [UnitSpec.Group.ast, "Group"],
  [UnitSpec.Logs.ast, "Logs"],
  [StopPolicy.ast, "Stop"],
  [RestartPolicy.ast, "Restart"],
  [Backoff.ast, "Backoff"],
  [Check.Check.ast, "Check"],
  [ProbeSpec.ProbeSpec.ast, "Probe"],
  [ProbeSpec.Http.ast, "Http"],
  [ProbeSpec.Tcp.ast, "Tcp"],
  [ProbeSpec.Exec.ast, "Exec"],
  [ProbeSpec.Log.ast, "Log"],
])

const reference = (name: string): Json => ({ $ref: `#/definitions/${name}` })

const variables = "\\$\\{"

const scalar = ["string", "number", "boolean"]

/** Parts that are told by hand: only code knows what they take. */
const byHand: Readonly<Record<string, Json>> = {
  Variables: {
    description: "A text with variables: ${NAME}, or ${NAME:-default}.",
    type: "string",
    pattern: variables,
  },
  TimeSpan: {
    description: "A length of time such as 500ms, 10s, 5m or 1h30m. A bare number is seconds.",
    type: ["string", "number"],
    minimum: 0,
    pattern: `^\\s*(\\d+(\\.\\d+)?|(\\d+(\\.\\d+)?(ms|s|m|h|d))+)\\s*$|${variables}`,
  },
  Size: {
    description: "A size such as 10MB or 512KiB, at least 1KiB. A bare number is bytes.",
    type: ["string", "number"],
    minimum: 1_024,
    pattern: `^\\s*\\d+(\\.\\d+)?\\s*([kKmMgG]([iI]?[bB])?|[bB])?\\s*$|${variables}`,
  },
  Signal: {
    description: "The name of a signal.",
    anyOf: [
      { enum: ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL"] },
      { type: "string", pattern: `^\\s*([sS][iI][gG])?[a-zA-Z][a-zA-Z0-9]*\\s*$|${variables}` },
    ],
  },
  Status: {
    description: "A status such as 200, a class such as 2xx, or a range such as 200-399.",
    type: ["string", "integer"],
    minimum: 100,
    maximum: 599,
    pattern: `^[1-5]xx$|^[1-5]\\d\\d(-[1-5]\\d\\d)?$|${variables}`,
  },
}

/** And fields. */
const byField: Readonly<Record<string, Json>> = {
  // A file has no Effect to run.
  "Unit.kind": { anyOf: [{ enum: ["service", "oneshot", "target", "external"] }, reference("Variables")] },
  // All of them are texts to a process.
  "Unit.env": { type: "object", additionalProperties: { type: scalar } },
  "Unit.url": { type: "string", pattern: `^https?://|${variables}` },
  "Logs.maxSize": reference("Size"),
  "Http.url": { type: "string", pattern: `^https?://|${variables}` },
  "Http.path": { type: "string", pattern: `^/|${variables}` },
  "Http.status": {
    anyOf: [reference("Status"), { type: "array", items: reference("Status"), minItems: 1 }],
  },
}

/** Texts that are often numbers, which are taken as they are written. */
const oftenNumbers = new Set(["command", "env", "headers", "equals", "description"])

const exactlyOneProbe = { oneOf: Object.keys(ProbeSpec.kindFields).map((kind) => ({ required: [kind] })) }

/** What holds of several fields together. */
const rules: Readonly<Record<string, Json>> = {
  Config: { patternProperties: { [`^${extension}`]: {} } },
  Unit: {
    allOf: [
      {
        if: { properties: { kind: { enum: ["service", "oneshot"] } } },
        // oxlint-disable-next-line unicorn/no-thenable
        then: { required: ["command"] },
      },
      {
        if: { properties: { kind: { enum: ["external"] } }, required: ["kind"] },
        // oxlint-disable-next-line unicorn/no-thenable
        then: { required: ["url"] },
      },
    ],
  },
  Check: exactlyOneProbe,
  Probe: exactlyOneProbe,
}

const make = (): Json => {
  const definitions: Record<string, Json> = { ...byHand }

  const part = (ast: SchemaAST.AST, at: At): Part => {
    if (ast === TimeSpan.ast) return { schema: reference("TimeSpan"), takes: "text" }
    if (ast === SignalName.ast) return { schema: reference("Signal"), takes: "text" }
    const name = names.get(ast)
    if (name === undefined) return describe(ast, at)
    if (definitions[name] === undefined) {
      // It may hold itself.
      definitions[name] = {}
      definitions[name] = { ...describe(ast, { name, field: "" }).schema, ...rules[name] }
    }
    return { schema: reference(name), takes: ast === RestartPolicy.ast ? "some" : "none" }
  }

  /** A part where it stands: in the place of what is no text a text with variables may stand. */
  const inPlace = (ast: SchemaAST.AST, at: At): Json => {
    const { schema, takes } = part(ast, at)
    if (takes !== "some") return schema
    return { anyOf: [...(Array.isArray(schema.anyOf) ? schema.anyOf : [schema]), reference("Variables")] }
  }

  const describe = (ast: SchemaAST.AST, at: At): Part => {
    switch (ast._tag) {
      case "StringKeyword":
        return { schema: { type: oftenNumbers.has(at.field) ? scalar : "string" }, takes: "text" }
      case "NumberKeyword":
        return { schema: { type: "number" }, takes: "some" }
      case "BooleanKeyword":
        return { schema: { type: "boolean" }, takes: "some" }
      case "Literal":
        return { schema: { enum: [ast.literal] }, takes: "some" }
      case "Refinement": {
        const { schema, takes } = part(ast.from, at)
        const more = Option.getOrUndefined(SchemaAST.getJSONSchemaAnnotation(ast))
        return { schema: { ...schema, ...more }, takes }
      }
      case "Transformation":
        return ast.from._tag === "TypeLiteral" ? struct(ast.from, at, ast.transformation) : part(ast.from, at)
      case "Union":
        return union(ast, at)
      case "TupleType": {
        // Of one kind, all of them; some have to have a first.
        const [item] = [...ast.elements, ...ast.rest].map(({ type }) => type)
        const minItems = ast.elements.filter(({ isOptional }) => !isOptional).length
        return {
          schema: {
            type: "array",
            items: item === undefined ? {} : inPlace(item, at),
            ...(minItems > 0 && { minItems }),
          },
          takes: "none",
        }
      }
      case "TypeLiteral":
        return struct(ast, at)
      case "Suspend":
        return part(ast.f(), at)
      default:
        return { schema: {}, takes: "text" }
    }
  }

  const union = ({ types }: SchemaAST.Union, at: At): Part => {
    const parts = types
      .filter(({ _tag }) => _tag !== "UndefinedKeyword" && _tag !== "Declaration")
      .map((type) => part(type, at))
    const words = parts.flatMap(({ schema }) => (Array.isArray(schema.enum) ? schema.enum : []))
    const others = parts.flatMap(({ schema }) =>
      Array.isArray(schema.enum) ? [] : Array.isArray(schema.anyOf) ? schema.anyOf : [schema],
    )
    const members: ReadonlyArray<Json> = words.length === 0 ? others : [{ enum: words }, ...others]
    const takes = (["text", "some"] as const).find((some) => parts.some((one) => one.takes === some))
    return { schema: members.length === 1 ? members[0]! : { anyOf: members }, takes: takes ?? "none" }
  }

  const struct = (
    { indexSignatures, propertySignatures }: SchemaAST.TypeLiteral,
    at: At,
    transformation?: SchemaAST.TransformationKind,
  ): Part => {
    const [index] = indexSignatures
    if (index !== undefined)
      return { schema: { type: "object", additionalProperties: inPlace(index.type, at) }, takes: "none" }
    const told: Readonly<Record<string, string>> = help[at.name]
    const properties: Record<string, Json> = {}
    for (const { name, type } of propertySignatures) {
      const field = String(name)
      const schema = byField[`${at.name}.${field}`] ?? inPlace(type, { name: at.name, field })
      const standard = defaultOf(field, type, transformation)
      const more = {
        ...(told[field] !== undefined && { description: told[field] }),
        ...(standard !== undefined && { default: standard }),
      }
      // Draft 7 sees nothing beside a `$ref`.
      properties[field] = "$ref" in schema ? { allOf: [schema], ...more } : { ...schema, ...more }
    }
    const required = propertySignatures
      .filter(({ isOptional }) => !isOptional)
      .map(({ name }) => String(name))
    return {
      schema: {
        type: "object",
        properties,
        ...(required.length > 0 && { required }),
        additionalProperties: false,
      },
      takes: "none",
    }
  }

  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "holdfast.yaml",
    ...inPlace(ConfigSchema.ast, { name: "Config", field: "" }),
    definitions,
  }
}

/** The default of a field, where it is a scalar, as a person would write it. */
const defaultOf = (
  field: string,
  type: SchemaAST.AST,
  transformation: SchemaAST.TransformationKind | undefined,
): unknown => {
  if (transformation?._tag !== "TypeLiteralTransformation") return undefined
  const given = transformation.propertySignatureTransformations.find(({ from }) => from === field)
  const value = Option.getOrUndefined(given?.decode(Option.none()) ?? Option.none())
  const encoded = ParseResult.encodeUnknownEither(Schema.make<unknown, unknown>(type))(value)
  if (Either.isLeft(encoded) || typeof encoded.right === "object") return undefined
  const [, millis] = /^(\d+)ms$/.exec(String(encoded.right)) ?? []
  if (millis === undefined) return encoded.right
  const span = Number(millis)
  if (span % 60_000 === 0 && span > 0) return `${span / 60_000}m`
  return span % 1_000 === 0 ? `${span / 1_000}s` : `${span}ms`
}

let made: Json | undefined

/** The JSON Schema of the configuration file. */
export const jsonSchema = (): Json => (made ??= make())
