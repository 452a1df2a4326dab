/** Planted faults: the checks find what they are there to find. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, describe, expect, it } from "vitest"

const root = path.resolve(import.meta.dirname, "../..")
const made: Array<string> = []
afterAll(() => made.forEach((directory) => fs.rmSync(directory, { recursive: true, force: true })))

/** A project with the settings of this one and sources of its own. */
const project = (sources: Record<string, string>): string => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-checks-"))
  made.push(directory)
  const settings = ["package.json", "tsconfig.json", "tsconfig.build.json", ".oxlintrc.json", ".oxfmtrc.json"]
  for (const file of [...settings, ".config"]) {
    fs.cpSync(path.join(root, file), path.join(directory, file), { recursive: true })
  }
  fs.symlinkSync(path.join(root, "node_modules"), path.join(directory, "node_modules"))
  for (const [file, text] of Object.entries(sources)) {
    fs.mkdirSync(path.dirname(path.join(directory, file)), { recursive: true })
    fs.writeFileSync(path.join(directory, file), text)
  }
  return directory
}

const check = (step: string, sources: Record<string, string>) => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [".config/check.mjs", step], {
    cwd: project(sources),
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  })
  return { status, output: stdout + stderr }
}

const clean = 'import * as Effect from "effect/Effect"\n\nexport const greet = Effect.log("hello")\n'

describe("npm run check", () => {
  it("finds no fault where there is none", () => {
    for (const step of ["types", "lint", "format"]) {
      expect(check(step, { "src/process/A.ts": clean })).toMatchObject({ status: 0 })
    }
  })

  it("finds a wrong type", () => {
    const { output, status } = check("types", { "src/process/A.ts": 'export const a: number = "one"\n' })
    expect(status).toBe(1)
    expect(output).toContain("TS2322")
  })

  it("finds an Effect that nobody runs", () => {
    const floating = clean + '\nexport const f = () => {\n  Effect.log("lost")\n}\n'
    const { output, status } = check("types", { "src/process/A.ts": floating })
    expect(status).toBe(1)
    expect(output).toContain("floatingEffect")
  })

  it("finds imports that go up, of whatever kind", () => {
    const { output, status } = check("lint", {
      "src/process/Static.ts": 'import { up } from "../unit/Up.js"\n\nexport const a = up\n',
      "src/process/Type.ts": 'export type A = import("../unit/Up.js").Up\n',
      "src/process/Dynamic.ts": 'export const a = () => import("../unit/Up.js")\n',
      "src/probe/Reexport.ts": 'export * from "../unit/Up.js"\n',
      "src/probe/Index.ts": 'export type { Up } from "../index.js"\n',
      "src/probe/Itself.ts": 'export type { Up } from "holdfast"\n',
      "src/unit/Up.ts": "export type Up = 1\nexport const up: Up = 1\n",
      "src/index.ts": 'export type { Up } from "./unit/Up.js"\n',
      // Down, and beside: nothing to find here.
      "src/api/Down.ts": 'export { up } from "../unit/Up.js"\nexport { a } from "./Beside.js"\n',
      "src/api/Beside.ts": "export const a = 1\n",
      "test/unit/Up.test.ts": 'export { up } from "../../src/unit/Up.js"\n',
    })
    expect(status).toBe(1)
    for (const file of ["Static", "Type", "Dynamic", "Reexport", "Index"]) {
      expect(output).toContain(`${file}.ts imports`)
    }
    expect(output).toContain('Import "holdfast" by its path')
    expect(output).toContain("Found 0 warnings and 6 errors")
  })

  it("finds a folder that is on no floor", () => {
    const { output, status } = check("lint", { "src/utils/A.ts": "export const a = 1\n" })
    expect(status).toBe(1)
    expect(output).toContain("on no floor")
  })

  it("finds a cycle on one floor, be it of types alone", () => {
    const { output, status } = check("lint", {
      "src/unit/A.ts": 'import type { B } from "./B.js"\n\nexport type A = B | 1\n',
      "src/unit/B.ts": 'import type { A } from "./A.js"\n\nexport type B = A | 2\n',
    })
    expect(status).toBe(1)
    expect(output).toContain("Dependency cycle detected")
  })

  it("finds careless formatting", () => {
    const { output, status } = check("format", { "src/process/A.ts": "export const a=1;\n" })
    expect(status).toBe(1)
    expect(output).toContain("src/process/A.ts")
  })

  it("finds exports that lead nowhere, and types that lead elsewhere than the code", () => {
    const sources = {
      "src/index.ts": "export const a = 1\n",
      "src/main.ts": "process.stdout.write(HOLDFAST_VERSION)\ndeclare const HOLDFAST_VERSION: string\n",
      "src/cli/Start.ts": "export const start = 1\n",
      "src/cli/Daemon.ts": "export const serve = 1\n",
      "src/api/Api.ts":
        'import * as HttpApi from "@effect/platform/HttpApi"\nexport const Api = HttpApi.make("planted")\n',
    }
    const manifest = (exports: unknown) =>
      JSON.stringify({
        name: "planted",
        version: "1.0.0",
        type: "module",
        files: ["dist", "a.d.cts"],
        exports,
      })
    const sound = { ".": "./dist/index.js" }
    expect(check("package", { ...sources, "package.json": manifest(sound) })).toMatchObject({ status: 0 })

    const nowhere = check("package", { ...sources, "package.json": manifest({ ".": "./dist/gone.js" }) })
    expect(nowhere.status).toBe(1)
    expect(nowhere.output).toContain("./dist/gone.js")

    const elsewhere = manifest({ ".": { types: "./a.d.cts", default: "./dist/index.js" } })
    const masked = { ...sources, "a.d.cts": "export declare const a: 1\n", "package.json": elsewhere }
    expect(check("package", masked).status).toBe(1)
  })
})
