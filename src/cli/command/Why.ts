/** `why`: what keeps a unit from being up, or a job from starting. */
import type { Client } from "../Client.js"
import { connect } from "../Client.js"
import type { Handler } from "../Handler.js"
import * as Naming from "../Naming.js"
import type { Painter } from "../Painter.js"
import { painterOf, unitStateColour } from "../Painter.js"
import { rootOf } from "../Root.js"
import type { Answer } from "../Routes.js"
import type * as Syntaxes from "../Syntaxes.js"
import * as Tree from "../Tree.js"
import type { World } from "../World.js"
import { exitCode, printable } from "../World.js"

type Link = Answer<"whyUnit">["chain"][number]
type Graph = Answer<"graph">

/** Which link each of them is a cause of: the last one before it that waits for it. */
const nested = (chain: ReadonlyArray<Link>, graph: Graph | undefined): Tree.Node<Link> => {
  const waits = new Set(
    (graph?.edges ?? []).flatMap(({ from, kind, to }) =>
      kind === "conflicts" ? [`${from} ${to}`, `${to} ${from}`] : [`${from} ${to}`],
    ),
  )
  const nodes = chain.map((link) => ({ value: link, children: [] as Array<Tree.Node<Link>> }))
  for (const [index, node] of nodes.entries()) {
    const before = nodes.slice(0, index)
    const parent =
      before.findLast(({ value }) => waits.has(`${value.unit} ${node.value.unit}`)) ?? before.at(-1)
    parent?.children.push(node)
  }
  return nodes[0]!
}

/** As a sentence has it. */
const wordOf = (state: Link["state"]): string => (state === "backoff" ? "in backoff" : state)

const linesOf =
  (paint: Painter) =>
  ({ advice, output, reason, state, unit }: Link): ReadonlyArray<string> => [
    `${paint("bold", unit)} is ${paint(unitStateColour(state, 1), wordOf(state))}. ${printable(reason)}`,
    ...(advice === undefined ? [] : [`-> ${printable(advice)}`]),
    ...output.map((line) => paint("dim", `| ${printable(line)}`)),
  ]

const ofUnit = async (client: Client, name: string, isJson: boolean, world: World): Promise<number> => {
  const { text, value } = await client.call("whyUnit", { path: { name } })
  if (isJson) await world.out.write(`${text}\n`)
  else if (value.is_up)
    await world.out.write(`${name} is ${value.state === "exited" ? "done" : value.state}.\n`)
  else {
    // With two links there is one way to put them.
    const graph = value.chain.length > 2 ? (await client.call("graph", {})).value : undefined
    const tree = nested(value.chain, graph)
    await world.out.write(`${Tree.render(tree, linesOf(painterOf(world.out, world))).join("\n")}\n`)
  }
  return exitCode.ok
}

const ofJob = async (client: Client, id: string, isJson: boolean, world: World): Promise<number> => {
  const { text, value } = await client.call("why", { path: { id } })
  if (isJson) await world.out.write(`${text}\n`)
  else if (value.reasons.length === 0) await world.out.write(`Job ${value.job_id} is ${value.state}.\n`)
  else {
    await world.out.write(`Job ${value.job_id} is ${value.state}:\n`)
    for (const { sentence } of value.reasons) await world.out.write(`- ${printable(sentence)}\n`)
  }
  return exitCode.ok
}

/** Explains why a unit is not up, down to the first cause, or what a job waits for before it starts. */
export const why: Handler<typeof Syntaxes.why> = async ({ args, options }, world) => {
  const client = connect(rootOf(options.root, world), world)
  const { jobs, units } = await Naming.split(client, args, options)
  return units.length > 0
    ? ofUnit(client, units[0]!, options.json, world)
    : ofJob(client, jobs[0]!, options.json, world)
}
