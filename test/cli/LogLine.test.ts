import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { forTerminal } from "../../src/cli/LogLine.js"
import { calledAs } from "../../src/cli/World.js"

/** What is written when this runs, by a logger for a terminal whose colours are in braces. */
const written = (run: Effect.Effect<unknown>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const logger = Logger.map(
    forTerminal((colour, text) => `{${colour} ${text}}`),
    (line) => void lines.push(line),
  )
  Effect.runSync(Effect.provide(run, Logger.replace(Logger.defaultLogger, logger)))
  return lines
}

describe("a line of the log for a person", () => {
  it("has the time and what happened, and no annotations", () => {
    const lines = written(Effect.annotateLogs(Effect.log("Unit web is ready"), { unit: "web" }))
    assert.strictEqual(lines.length, 1)
    assert.match(lines[0]!, /^\{dim \d\d:\d\d:\d\d\} Unit web is ready$/)
  })

  it("has the level where it is not the usual one, and the fault", () => {
    const [warning, error] = written(
      Effect.zipRight(
        Effect.logWarning("one", { two: 2 }),
        Effect.catchAllCause(Effect.die(new Error("the fault")), (cause) => Effect.logError("broke", cause)),
      ),
    )
    assert.match(warning!, / \{yellow WARN one \{"two":2\}\}$/)
    assert.match(error!, / \{red ERROR broke\nError: the fault/)
  })

  it("obeys nobody: what comes from elsewhere has no control characters", () => {
    assert.notInclude(written(Effect.log("a\u001b[2Jb"))[0]!, "\u001b")
  })
})

describe("how the program is called", () => {
  it("is by its name where it is installed, else by its file", () => {
    assert.strictEqual(calledAs("/usr/bin/holdfast", "/home/me"), "holdfast")
    assert.strictEqual(calledAs("/home/me/clone/dist/main.js", "/home/me/clone"), "node dist/main.js")
    assert.strictEqual(calledAs("/opt/clone/dist/main.js", "/home/me"), "node /opt/clone/dist/main.js")
  })
})
