/** The OpenAPI document as a page: one file that loads nothing, so that it is there without a network. */
import type * as OpenApi from "@effect/platform/OpenApi"
import { document } from "./Document.js"

type Schema = { readonly [key: string]: unknown }

const escape = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

/** Sentences of ours, in which backquotes mark code. */
const prose = (text: unknown): string =>
  typeof text === "string" ? escape(text).replace(/`([^`]*)`/g, "<code>$1</code>") : ""

const nameOf = (reference: string): string => reference.slice(reference.lastIndexOf("/") + 1)

/** A schema in few words: `integer`, `stdout | stderr`, `list of text`. */
const typeOf = (schema: Schema): string => {
  const { $ref, anyOf, enum: values, items, type } = schema
  if (typeof $ref === "string") return `<a href="#${escape(nameOf($ref))}">${escape(nameOf($ref))}</a>`
  if (Array.isArray(values)) return values.map((value) => `<code>${escape(String(value))}</code>`).join(" | ")
  if (Array.isArray(anyOf)) return [...new Set(anyOf.map((one) => typeOf(one as Schema)))].join(" or ")
  if (type === "array") return `list of ${typeOf((items ?? {}) as Schema)}`
  if (type === "object" && schema["properties"] !== undefined) {
    const properties = Object.keys(schema["properties"] as object)
    return `{ ${properties.map((name) => escape(name)).join(", ")} }`
  }
  return typeof type === "string" ? escape(type) : "any"
}

const row = (name: string, required: boolean, schema: Schema): string =>
  `<tr><td><code>${escape(name)}</code>${required ? "" : "?"}</td><td>${typeOf(schema)}</td><td>${prose(schema["description"])}</td></tr>`

const fields = (schema: Schema): string => {
  const properties = Object.entries((schema["properties"] ?? {}) as Record<string, Schema>)
  const required = (schema["required"] ?? []) as ReadonlyArray<string>
  return properties.length === 0
    ? `<p>${typeOf(schema)}</p>`
    : `<table>${properties.map(([name, one]) => row(name, required.includes(name), one)).join("")}</table>`
}

const contentOf = (content: object | undefined): string =>
  Object.entries((content ?? {}) as Record<string, { readonly schema?: Schema }>)
    .map(([type, { schema = {} }]) => {
      const words = type === "application/json" ? "" : ` <code>${escape(type)}</code>`
      return schema["$ref"] === undefined ? `${words}${fields(schema)}` : `${words}<p>${typeOf(schema)}</p>`
    })
    .join("")

const operation = (method: string, path: string, one: OpenApi.OpenAPISpecOperation): string => {
  const responses = Object.entries(one.responses)
  const good = responses.filter(([status]) => Number(status) < 400)
  const bad = responses.filter(([status]) => !(Number(status) < 400))
  return [
    `<section><h3><span class="${method}">${method.toUpperCase()}</span> <code>${escape(path)}</code></h3>`,
    `<p><strong>${prose(one.summary)}.</strong> ${prose(one.description)}</p>`,
    one.parameters.length === 0
      ? ""
      : `<h4>Parameters</h4><table>${one.parameters
          .map((each) =>
            row(each.name, each.required, {
              ...each.schema,
              description: each.schema.description ?? each.in,
            }),
          )
          .join("")}</table>`,
    one.requestBody === undefined
      ? ""
      : `<h4>Body${(one.requestBody.required as boolean) ? "" : " (may be left out)"}</h4>${contentOf(one.requestBody.content)}`,
    `<h4>Answer</h4>${good.map(([, { content }]) => contentOf(content)).join("")}`,
    `<details><summary>Errors</summary><table>${bad
      .map(([status, { description }]) => `<tr><td>${status}</td><td>${prose(description)}</td></tr>`)
      .join("")}</table></details></section>`,
  ].join("\n")
}

const style = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:0 auto;padding:1rem}
section{border-top:1px solid #8884;padding:.5rem 0}
h3 span{display:inline-block;min-width:4.5rem;font-size:.8rem;padding:.1rem .4rem;border-radius:.3rem;background:#8883}
.post,.put{color:#b60}.delete{color:#c22}.get{color:#27a}
code{font-size:.9em}table{border-collapse:collapse;width:100%}
td{border-bottom:1px solid #8883;padding:.2rem .6rem .2rem 0;vertical-align:top}h4{margin:.6rem 0 .2rem}`

/** The page. */
export const page = (version: string): string => {
  const spec = document(version)
  const operations = Object.entries(spec.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, one]) => ({
      method,
      path,
      one: one as OpenApi.OpenAPISpecOperation,
    })),
  )
  const groups = spec.tags.map(({ description, name }) =>
    [
      `<h2>${escape(name)}</h2><p>${prose(description)}</p>`,
      ...operations
        .filter(({ one }) => one.tags.includes(name))
        .map(({ method, one, path }) => operation(method, path, one)),
    ].join("\n"),
  )
  const schemas = Object.entries(spec.components.schemas).map(
    ([name, schema]) =>
      `<section id="${escape(name)}"><h3>${escape(name)}</h3>${fields(schema as unknown as Schema)}</section>`,
  )
  return [
    `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">`,
    `<meta name="viewport" content="width=device-width, initial-scale=1">`,
    `<title>${escape(spec.info.title)} API</title><style>${style}</style></head><body>`,
    `<h1>${escape(spec.info.title)} ${escape(version)}</h1><p>${prose(spec.info.description)}</p>`,
    `<p>Every request but <code>GET /health</code> needs <code>Authorization: Bearer TOKEN</code>; the token is in the file <code>token</code> in the daemon's root. The same as data: <a href="/openapi.json">/openapi.json</a>.</p>`,
    ...groups,
    `<h2>What is sent and answered</h2>`,
    ...schemas,
    `</body></html>`,
  ].join("\n")
}
