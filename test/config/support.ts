import { assert } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Config from "../../src/config/Config.js"
import type { UnitSpec } from "../../src/unit/UnitSpec.js"

/** The fixed environment of these tests. */
export const env = { HOME: "/home/ada", EMPTY: "", PORT: "8080", SECRET: "s3cr3t-value", ZIP: "00123" }

/** The configuration of a text that has to be right. */
export const accept = (text: string, options: Config.ParseOptions = {}): Config.Config => {
  const result = Config.parse(text, { env, file: "/etc/holdfast/holdfast.yaml", ...options })
  if (Either.isLeft(result)) assert.fail(result.left.message)
  return result.right
}

/** What is wrong with a text that has to be, as it is printed, without the name of the file. */
export const refuse = (text: string, options: Config.ParseOptions = {}): ReadonlyArray<string> => {
  const result = Config.parse(text, { env, file: "h.yaml", ...options })
  if (Either.isRight(result)) assert.fail("it was accepted")
  assert.strictEqual(result.left._tag, "ConfigInvalid")
  assert.isNotEmpty(result.left.faults)
  return result.left.message.split("\n").map((line) => line.replace(/^h\.yaml:/, ""))
}

/** A unit of a configuration. */
export const unit = ({ plan }: Config.Config, name: string): UnitSpec => {
  const node = plan.graph.nodes.get(name)
  assert.isDefined(node, `there is no unit ${name}`)
  return node!.spec
}
