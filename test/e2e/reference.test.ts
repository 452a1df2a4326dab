/** The pages of the reference that are made from the program are what it says now. */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { describe, expect, it } from "vitest"
import { document } from "../../src/api/Document.js"
import { commands } from "../../src/cli/Registry.js"
import { help } from "../../src/config/ConfigHelp.js"
import { page, root } from "./readme.js"

const check = async (): Promise<string> => {
  try {
    await promisify(execFile)(process.execPath, [".config/reference.mjs", "--check"], { cwd: root })
    return "up to date"
  } catch (error) {
    return (error as { readonly stderr: string }).stderr
  }
}

describe("the reference", () => {
  it("is what the program says of itself; if not: npm run reference", async () => {
    expect(await check()).toBe("up to date")
  })

  it("has every endpoint, every command and every key of a unit", () => {
    const api = page("docs/reference/api.md")
    for (const [route, methods] of Object.entries(document("").paths)) {
      for (const method of Object.keys(methods))
        expect(api).toContain(`### ${method.toUpperCase()} ${route}\n`)
    }
    const cli = page("docs/reference/cli.md")
    for (const { syntax } of commands) expect(cli).toContain(`## ${syntax.name}\n`)
    const config = page("docs/reference/config.md")
    for (const key of Object.keys(help.Unit)) expect(config).toContain(`| \`${key}\` `)
  })
})
