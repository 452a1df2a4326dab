import { describe, expect, it } from "vitest"
import { daemon, run } from "../support.js"

const view = {
  type: "graph",
  nodes: [
    { name: "migrate", kind: "oneshot", state: "exited" },
    { name: "db", kind: "service", state: "ready" },
    { name: "web", kind: "service", state: "blocked" },
    { name: "end", kind: "target", state: "inactive" },
    { name: "old", kind: "service", state: "failed" },
  ],
  edges: [
    { from: "db", to: "migrate", kind: "requires", condition: "succeeded" },
    { from: "web", to: "db", kind: "requires", condition: "ready" },
    { from: "web", to: "migrate", kind: "after", condition: "completed" },
    { from: "end", to: "web", kind: "bindsTo", condition: "ready" },
    { from: "end", to: "db", kind: "wants" },
    { from: "web", to: "old", kind: "conflicts" },
    { from: "old", to: "web", kind: "conflicts" },
  ],
  groups: [{ name: "pair", strategy: "one-for-all", units: ["db", "web"] }],
}

describe("graph", () => {
  it("draws a tree, and what it has drawn only once", async () => {
    await using server = await daemon({ graph: () => view })
    expect((await run(["graph"], server)).out).toBe(
      [
        "old failed",
        "end inactive (target)",
        "└─ web blocked (bindsTo ready)",
        "   ├─ db ready",
        "   │  └─ migrate exited (oneshot)",
        "   └─ migrate exited (oneshot, after completed)",
        "└─ db ready (wants, see above)",
        "old and web are never up together",
        "",
      ]
        .join("\n")
        .replace("└─ web", "├─ web")
        .replaceAll("\n   ", "\n│  "),
    )
  })

  it("writes it down for Graphviz and for Mermaid", async () => {
    await using server = await daemon({ graph: () => view })
    const dot = (await run(["graph", "--dot"], server)).out
    expect(dot).toContain('  "db" [label="db\\nready", fillcolor="#d3f9d8", shape=box]\n')
    expect(dot).toContain('  "db" -> "migrate"\n  "web" -> "db"\n')
    expect(dot).toContain('  "web" -> "migrate" [label="after completed", style=dashed]\n')
    expect(dot).toContain('  "end" -> "db" [label="wants", style=dashed]\n')
    expect(dot.match(/conflicts/g)).toHaveLength(1)
    expect(dot).toContain('    label="pair (one-for-all)"\n    "db"\n    "web"\n')
    const mermaid = (await run(["graph", "--mermaid"], server)).out
    // `end` is a word of that language.
    expect(mermaid).toContain('  u3(["end<br/>inactive"]):::inactive\n')
    expect(mermaid).toContain("  u2 --> u1\n")
    expect(mermaid).toContain("  u2 -.->|after completed| u0\n")
    expect(mermaid).toMatch(/^flowchart LR\n[^]*classDef failed fill:#ffe3e3/)
  })

  it("does not lose units that want each other", async () => {
    const nodes = ["a", "b"].map((name) => ({ name, kind: "service", state: "ready" }))
    const edges = [
      { from: "a", to: "b", kind: "wants" },
      { from: "b", to: "a", kind: "wants" },
    ]
    await using server = await daemon({ graph: () => ({ type: "graph", nodes, edges, groups: [] }) })
    expect((await run(["graph"], server)).out).toBe(
      "a ready\n└─ b ready (wants)\n   └─ a ready (wants, see above)\n",
    )
  })
})
