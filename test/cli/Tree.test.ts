import { describe, expect, it } from "vitest"
import * as Tree from "../../src/cli/Tree.js"

describe("Tree", () => {
  it("draws branches, and what a value has to say below it", () => {
    const leaf = (value: string) => ({ value, children: [] })
    const tree = {
      value: "a",
      children: [{ value: "b", children: [leaf("c"), leaf("d")] }, leaf("e")],
    }
    expect(Tree.render(tree, (value) => [value, `${value}!`])).toEqual([
      "a",
      "│ a!",
      "├─ b",
      "│  │ b!",
      "│  ├─ c",
      "│  │    c!",
      "│  └─ d",
      "│       d!",
      "└─ e",
      "     e!",
    ])
  })
})
