/** The built program, as a user starts it. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { describe, expect, it } from "vitest"

const root = path.resolve(import.meta.dirname, "../..")
const main = path.join(root, "dist/main.js")

const holdfast = (...args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [main, ...args], { encoding: "utf8" })
  return { status, stderr, stdout }
}

describe("node dist/main.js", () => {
  it("tells the version of the package", () => {
    const { version } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"))
    expect(holdfast("--version")).toEqual({ status: 0, stderr: "", stdout: `${version}\n` })
  })

  it("helps whoever asks for nothing", () => {
    expect(holdfast()).toEqual(holdfast("--help"))
    expect(holdfast()).toMatchObject({ status: 0, stderr: "" })
  })

  it("answers a mistake in one sentence, with exit code 2", () => {
    expect(holdfast("--versoin")).toEqual({
      status: 2,
      stderr: 'holdfast: there is no option "--versoin"; did you mean --version?\n',
      stdout: "",
    })
  })

  it("does not mind a reader that has left", () => {
    const script = '{ node "$0" --help; echo $? >&2; } | :'
    const { stderr } = spawnSync("sh", ["-c", script, main], { encoding: "utf8" })
    expect(stderr).toBe("0\n")
  })

  it("is one file, which needs nothing beside it", () => {
    expect(fs.statSync(main).mode & 0o111).toBe(0o111)
    const alone = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-alone-"))
    try {
      fs.copyFileSync(main, path.join(alone, "holdfast.mjs"))
      expect(spawnSync(path.join(alone, "holdfast.mjs"), ["--version"])).toMatchObject({ status: 0 })
    } finally {
      fs.rmSync(alone, { recursive: true })
    }
  })
})
