/**
 * Writes what of docs/reference/ the program can tell by itself: cli.md from the help of each command, api.md from the
 * OpenAPI document, config.md from the JSON Schema of the configuration file. The same program always gives the same
 * text.
 *
 * `--check` writes nothing, and fails when a page is not what it would be; `--no-build` takes the program as it is.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { isDeepStrictEqual } from "node:util"

const root = fileURLToPath(new URL("..", import.meta.url))
const isCheck = process.argv.includes("--check")

const node = (args, input) => {
  const { error, status, stderr, stdout } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
    input,
    maxBuffer: 2 ** 26,
  })
  if (error !== undefined || status !== 0)
    throw new Error(`node ${args.join(" ")} failed: ${stderr}`, { cause: error })
  return stdout
}

const holdfast = (...args) => node(["dist/main.js", ...args])

const madeBy =
  "<!-- Made by `npm run reference` from what the program says of itself; do not change it by hand. -->"

const fenced = (text) => `\`\`\`text\n${text.trimEnd()}\n\`\`\``

/** What is between the two lines of a help text. */
const between = (text, from, to) => text.slice(text.indexOf(from) + from.length, text.indexOf(to)).trim()

const cli = () => {
  const overview = holdfast("--help")
  const names = [...between(overview, "Commands:", "Options:").matchAll(/^ *(\S+)/gm)].map(([, name]) => name)
  const pages = names.map((name) => {
    const [title, ...rest] = holdfast(name, "--help").split("\n")
    const summary = title.slice(`holdfast ${name}: `.length)
    const sentence = summary[0].toUpperCase() + summary.slice(1)
    return `## ${name}\n\n${sentence}\n\n${fenced(rest.join("\n").trim())}`
  })
  return [
    madeBy,
    "# Command line",
    "`holdfast` stands for `node dist/main.js`. What each command says with `--help`:",
    fenced(overview.slice(overview.indexOf("Usage:"))),
    ...pages,
  ]
}

/** A cell of a table. */
const cell = (text) => String(text).replaceAll("|", "\\|").replaceAll(/\s+/g, " ").trim()

const table = (head, rows) => {
  const filled = head.map((_, column) => rows.some((row) => row[column] !== ""))
  const line = (cells) => `| ${cells.filter((_, column) => filled[column]).join(" | ")} |`
  return [line(head), line(head.map(() => "---")), ...rows.map((row) => line(row.map(cell)))].join("\n")
}

const code = (text) => `\`${text}\``

const nameOf = ({ $ref }) => $ref?.split("/").at(-1)

const several = (texts, word = "or") =>
  texts.length < 2 ? texts.join("") : `${texts.slice(0, -1).join(", ")} ${word} ${texts.at(-1)}`

const words = {
  string: "text",
  integer: "whole number",
  number: "number",
  boolean: "true or false",
  null: "`null`",
}

/** The object that a value may be, besides a word. */
const objectOf = (schema) =>
  schema.type === "object" ? schema : schema.anyOf?.find(({ type }) => type === "object")

const without = (schema, option) => ({ ...schema, anyOf: schema.anyOf.filter((one) => one !== option) })

/**
 * How a type is told in a cell. `definitions` are those that a reference may lead to, `named` gives those that stand for
 * themselves a word.
 */
const typeOf = (schema, definitions, named = {}) => {
  const of = (inner) => typeOf(inner, definitions, named)
  const reference = nameOf(schema)
  if (reference !== undefined) {
    if (named[reference] !== undefined) return named[reference]
    const target = definitions[reference]
    const link = `[${reference}](#${reference.toLowerCase()})`
    if (target.type === "object") return link
    const object = objectOf(target)
    return object === undefined ? of(target) : `${of(without(target, object))} or ${link}`
  }
  if (schema.enum !== undefined) return several(schema.enum.map((value) => code(String(value))))
  if (schema.allOf !== undefined) return of(schema.allOf[0])
  const options = schema.anyOf ?? schema.oneOf
  if (options !== undefined)
    return several([...new Set(options.filter((one) => nameOf(one) !== "Variables").map(of))])
  if (Array.isArray(schema.type)) return schema.type.includes("string") ? "text" : several(schema.type)
  if (schema.type === "array") return `list of ${of(schema.items)}`
  if (schema.type !== "object") return words[schema.type] ?? "anything"
  const fields = Object.entries(schema.properties ?? {})
  if (fields.length > 0) {
    const shown = fields.map(
      ([name, one]) => `${code(name)}${(schema.required ?? []).includes(name) ? "" : "?"}: ${of(one)}`,
    )
    return `{ ${shown.join("; ")} }`
  }
  return typeof schema.additionalProperties === "object"
    ? `by name: ${of(schema.additionalProperties)}`
    : "object"
}

/** What every answer has. */
const envelope = new Set(["schema_version", "ok", "type"])

const fieldsOf = (schema, definitions) =>
  table(
    ["field", "", "type", "meaning"],
    Object.entries(schema.properties)
      .filter(([name]) => !envelope.has(name))
      .map(([name, one]) => [
        code(name),
        schema.required.includes(name) ? "" : "optional",
        typeOf(one, definitions),
        one.description ?? "",
      ]),
  )

const methods = ["get", "post", "put", "delete"]

const api = () => {
  const document = JSON.parse(holdfast("schema", "openapi"))
  const { schemas } = document.components
  const operations = Object.entries(document.paths).flatMap(([route, found]) =>
    methods
      .filter((method) => Object.hasOwn(found, method))
      .map((method) => ({
        ...found[method],
        method: method.toUpperCase(),
        route,
      })),
  )
  const guarded = operations.filter(({ security }) => security.length > 0)
  const common = Object.entries(guarded[0].responses).filter(
    ([status, { description }]) =>
      status !== "200" && guarded.every(({ responses }) => responses[status]?.description === description),
  )
  const isCommon = new Set(common.map(([status]) => status))
  const bodies = new Set()

  const endpoint = ({ description, method, parameters, requestBody, responses, route, summary }) => {
    const parts = [
      `### ${method} ${route}`,
      `${summary}.${description === undefined ? "" : ` ${description}`}`,
    ]
    const shown = parameters.filter((one) => one.in !== "path")
    if (shown.length > 0) {
      const rows = shown.map((one) => [
        code(one.name),
        one.in,
        typeOf(one.schema, schemas),
        one.description ?? "",
      ])
      parts.push(table(["parameter", "in", "type", "meaning"], rows))
    }
    if (requestBody !== undefined) {
      const [{ schema }] = Object.values(requestBody.content)
      const name = nameOf(schema)
      if (name !== undefined) bodies.add(name)
      parts.push(
        name === undefined ? `Body:\n\n${fieldsOf(schema, schemas)}` : `Body: ${typeOf(schema, schemas)}.`,
      )
    }
    const [[type, { schema }]] = Object.entries(responses["200"].content)
    const answer = nameOf(schema) === undefined ? code(type.split(";")[0]) : typeOf(schema, schemas)
    const others = Object.entries(responses)
      .filter(([status]) => status !== "200" && !isCommon.has(status))
      .map(([status, found]) => `${status} (${found.description.replace(/\.$/, "")})`)
    parts.push(`Answer: ${answer}.${others.length > 0 ? ` Also: ${others.join("; ")}.` : ""}`)
    return parts.join("\n\n")
  }

  const sections = document.tags.map(({ description, name }) => {
    const title = name[0].toUpperCase() + name.slice(1)
    const own = operations.filter(({ tags }) => tags.includes(name)).map(endpoint)
    return [`## ${title}`, description, ...own].join("\n\n")
  })
  const structs = Object.entries(schemas).filter(
    ([name, { type }]) => type === "object" && name !== "ApiError",
  )
  const own = ({ properties }) => Object.keys(properties).filter((field) => !envelope.has(field))
  /** What an answer consists of, if it is another thing with a few fields more. */
  const partOf = (schema) =>
    structs.find(
      ([, part]) =>
        part !== schema &&
        own(part).length === Object.keys(part.properties).length &&
        own(part).length > 2 &&
        own(part).every((field) => isDeepStrictEqual(part.properties[field], schema.properties[field])),
    )
  const section = (found) =>
    found.map(([name, schema]) => {
      const [part, { properties = {} } = {}] = partOf(schema) ?? []
      const rest = own(schema).filter((field) => !Object.hasOwn(properties, field))
      const fields =
        rest.length > 0
          ? fieldsOf(
              {
                ...schema,
                properties: Object.fromEntries(rest.map((field) => [field, schema.properties[field]])),
              },
              schemas,
            )
          : part === undefined && "Nothing but what every answer has."
      const parts = [
        part !== undefined && `The fields of ${typeOf({ $ref: part }, schemas)}${fields ? ", and" : "."}`,
        fields,
      ]
      return [`### ${name}`, schema.description, ...parts].filter(Boolean).join("\n\n")
    })
  return [
    madeBy,
    "# HTTP API",
    "Made from the OpenAPI document, which the daemon serves at `/openapi.json` and shows at `/docs`, and which `holdfast schema` prints. Who gets in, and how a daemon is found, is told in [the daemon](daemon.md).",
    'Every answer has `schema_version` ("1"), `ok` and `type`. An `{id}` is a job\'s id, or any beginning of it that no other job has.',
    'An error is `{ schema_version, ok: false, type: "error", error: { code, message, retryable } }`: the message is one sentence for people, `retryable` says whether the same request may succeed later, and the code is one of these:',
    schemas.ApiError.properties.error.properties.code.enum.map(code).join(", "),
    "Any request may be answered with",
    table(
      ["status", "meaning"],
      common.map(([status, { description }]) => [status, description]),
    ),
    ...sections,
    "## Bodies",
    ...section(structs.filter(([name]) => bodies.has(name))),
    "## Answers",
    ...section(structs.filter(([name]) => !bodies.has(name))),
  ]
}

/** Kinds of values that are explained once, and how they are called in a cell. */
const values = {
  TimeSpan: "[time](#values)",
  Size: "[size](#values)",
  Signal: "[signal](#values)",
  Status: "[status](#values)",
}

const config = () => {
  const { definitions } = JSON.parse(holdfast("schema", "config"))
  const structs = Object.entries(definitions).filter(([, one]) => objectOf(one) !== undefined)
  const pages = structs.map(([name, schema]) => {
    const { properties, required = [] } = objectOf(schema)
    return [
      `## ${name}`,
      schema.description,
      table(
        ["key", "type", "default", "meaning"],
        Object.entries(properties).map(([key, one]) => [
          code(key) + (required.includes(key) ? " (required)" : ""),
          typeOf(one, definitions, values),
          one.default === undefined ? "" : code(JSON.stringify(one.default).replaceAll('"', "")),
          one.description ?? "",
        ]),
      ),
    ]
      .filter((part) => part !== undefined)
      .join("\n\n")
  })
  return [
    madeBy,
    "# holdfast.yaml",
    "Made from the JSON Schema of the configuration file, which `holdfast schema config` prints for editors. What the keys do together is told in [units](units.md). A key that is not known is an error that names the nearest one; keys that begin with `x-` hold anything.",
    "## Values",
    "Wherever a text, a number or a word is expected, a text with variables will do: `${NAME}`, or `${NAME:-default}`.",
    table(
      ["value", "meaning"],
      Object.entries(values).map(([name, link]) => [
        link.slice(1, link.indexOf("]")),
        definitions[name].description,
      ]),
    ),
    ...pages,
  ]
}

/** As the formatter has it, so that a page that is written is not changed by it. */
const formatted = (file, parts) =>
  node(["node_modules/oxfmt/bin/oxfmt", `--stdin-filepath=${file}`], `${parts.join("\n\n")}\n`)

if (!isCheck && !process.argv.includes("--no-build")) node([".config/build.mjs"])
const pages = { "cli.md": cli, "api.md": api, "config.md": config }
for (const [name, make] of Object.entries(pages)) {
  const file = path.join("docs/reference", name)
  const text = formatted(file, make())
  const known = fs.existsSync(path.join(root, file))
    ? fs.readFileSync(path.join(root, file), "utf8")
    : undefined
  if (text === known) continue
  if (isCheck) {
    console.error(`${file} is not what the program says of itself: run npm run reference`)
    process.exitCode = 1
  } else {
    fs.mkdirSync(path.join(root, "docs/reference"), { recursive: true })
    fs.writeFileSync(path.join(root, file), text)
    console.log(`wrote ${file}`)
  }
}
