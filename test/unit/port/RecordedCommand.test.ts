import { assert, describe, it } from "@effect/vitest"
import * as RecordedCommand from "../../../src/unit/port/RecordedCommand.js"

const isSame = (recorded: ReadonlyArray<string>, live: string) =>
  RecordedCommand.isSame(RecordedCommand.make(recorded), live)

describe("a recorded command", () => {
  it("is that of a process which is shown with it", () => {
    assert.isTrue(isSame(["node", "server.js", "--port", "80"], "node server.js --port 80"))
    assert.isTrue(isSame(["server", "a b", ""], "server a b"))
    assert.isTrue(isSame(["server"], "server"))
    assert.isFalse(isSame(["node", "server.js"], "node server.js --port 80"))
    assert.isFalse(isSame(["node", "server.js"], "node other.js"))
    assert.isFalse(isSame(["node", "server.js"], "nodes server.js"))
    assert.isFalse(isSame(["node"], "xnode"))
    assert.isFalse(isSame(["(a+)+$", "."], "aaaa x"))
    assert.isFalse(isSame(["server"], ""))
  })

  it("may be a script, which is shown with its interpreter and where it was found", () => {
    assert.isTrue(isSame(["serve", "--port", "80"], "/usr/bin/env node /usr/bin/serve --port 80"))
    assert.isTrue(isSame(["./bin/serve", "80"], "/bin/sh ./bin/serve 80"))
    assert.isTrue(isSame(["serve"], "node /usr/bin/serve"))
    // The name in an argument before it is not taken for the program.
    assert.isTrue(isSame(["serve", "80"], "/opt/serve/bin/node /opt/serve/bin/serve 80"))
    assert.isFalse(isSame(["serve", "80"], "/bin/sh ./bin/preserve 80"))
    assert.isFalse(isSame(["serve", "80"], "/bin/sh ./bin/serve 8080"))
  })

  it("with masked values is that of a process which has any in their place", () => {
    assert.isTrue(isSame(["db", "--key=***", "--port", "80"], "db --key=hunter2 --port 80"))
    assert.isTrue(isSame(["db", "***"], "db hunter2"))
    assert.isTrue(isSame(["db", "***:***@host"], "db user:word@host"))
    assert.isFalse(isSame(["db", "***", "--port", "80"], "db hunter2 --port 8080"))
    assert.isFalse(isSame(["db", "a***a"], "db a"))
    assert.isFalse(isSame(["db", "***"], "other hunter2"))
  })

  it("is cut when it is long, and compared as far as it is known", () => {
    const long = ["node", "-e", "x".repeat(5_000)]
    assert.isBelow(RecordedCommand.make(long).length, 1_010)
    assert.isTrue(isSame(long, long.join(" ")))
    assert.isTrue(isSame(long, `${long.join(" ")} more`))
    assert.isFalse(isSame(long, long.join(" ").slice(0, 900)))
    assert.isFalse(isSame(long, `node -e y${"x".repeat(4_999)}`))
  })

  it("is compared quickly, whatever it is compared with", () => {
    const startedAt = performance.now()
    assert.isFalse(isSame(["a", "***".repeat(50), "b"], `${"a ***".repeat(100_000)}`))
    assert.isFalse(isSame(["a", "***a".repeat(50), "b"], `${"a".repeat(100_000)}c`))
    assert.isBelow(performance.now() - startedAt, 1_000)
  })
})
