/** `check`: whether a configuration can be used. In the built program it is a part of `Daemon`. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Config } from "../config/Config.js"
import type { Node } from "../unit/Graph.js"
import * as Configuration from "./Configuration.js"
import * as Format from "./Format.js"
import type { Handler } from "./Handler.js"
import type * as Syntaxes from "./Syntaxes.js"
import { render } from "./Table.js"
import type { World } from "./World.js"
import { exitCode, printableLines } from "./World.js"

const portOf = ({ spec: { port, ports } }: Node): string =>
  [...(port === undefined ? [] : [port]), ...ports].join(", ")

/** What it waits for, each with what has to be so where that is not the usual. */
const needsOf = ({ edges }: Node): ReadonlyArray<string> =>
  edges.flatMap(({ condition, kind, to }) =>
    kind === "group" ? [] : [condition === "ready" || condition === "succeeded" ? to : `${to}: ${condition}`],
  )

const columns = [
  { title: "NAME", text: ({ name }: Node) => name },
  { title: "KIND", text: ({ spec }: Node) => spec.kind },
  { title: "PORT", text: portOf },
  { title: "STARTS", text: ({ spec }: Node) => (spec.autostart ? "" : "by name only") },
  { title: "AFTER", text: (node: Node) => needsOf(node).join(", ") },
]

const nodesOf = ({ plan: { graph } }: Config): ReadonlyArray<Node> =>
  graph.order.map((name) => graph.nodes.get(name)!)

const envelope = (isValid: boolean, file: string | undefined, more: object): string =>
  `${JSON.stringify({ schema_version: "1", ok: true, type: "check", valid: isValid, file, ...more })}\n`

const found = async ({ config, name }: Configuration.Found, isJson: boolean, world: World) => {
  const nodes = nodesOf(config)
  if (isJson) {
    const units = nodes.map((node) => ({
      name: node.name,
      kind: node.spec.kind,
      autostart: node.spec.autostart,
      after: node.edges.flatMap(({ condition, kind, to }) =>
        kind === "group" ? [] : [{ name: to, kind, condition }],
      ),
    }))
    return world.out.write(envelope(true, config.file, { units, faults: [] }))
  }
  const head = `${name} can be used: ${Format.counted(nodes.length, "unit")}${nodes.length > 1 ? ", in the order of their start" : ""}.`
  const rows = nodes.length === 0 ? [] : render(columns, nodes, world.out.columns())
  return world.out.write(`${[head, ...rows].join("\n")}\n`)
}

/** Looks at a configuration, and at nothing else. */
export const check: Handler<typeof Syntaxes.check> = async ({ options }, world) => {
  const result = await Effect.runPromise(Effect.either(Configuration.load(options.file, world)))
  if (Either.isRight(result)) {
    await found(result.right, options.json, world)
    return exitCode.ok
  }
  const error = result.left
  if (error._tag !== "ConfigInvalid") throw Configuration.failure(error, "")
  const { faults, file } = error
  if (options.json) await world.out.write(envelope(false, file, { units: [], faults }))
  else {
    await world.err.write(
      `${printableLines(error.message)}\nholdfast: ${file} has ${Format.counted(faults.length, "fault")}.\n`,
    )
  }
  return exitCode.failed
}
