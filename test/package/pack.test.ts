/** The package as a user gets it: packed, installed into an empty project, imported, type-checked and run. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const root = path.resolve(import.meta.dirname, "../..")
const manifest = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"))
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-pack-"))
const app = path.join(directory, "app")
let packed: ReadonlyArray<string>

const run = (command: string, ...args: ReadonlyArray<string>): string => {
  try {
    return execFileSync(command, args, { cwd: app, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
  } catch (error) {
    const { message, stdout } = error as Error & { readonly stdout: string }
    throw new Error(`${message}\n${stdout}`, { cause: error })
  }
}

/** What an ES module of the project prints, as JSON. */
const evaluate = (source: string): unknown =>
  JSON.parse(run(process.execPath, "--input-type=module", "--eval", `console.log(JSON.stringify(${source}))`))

/** The public modules, such as `./process/ProcessSpawner`. */
const subpaths = Object.keys(manifest.exports).filter((subpath) => !/^\.$|\.json$/.test(subpath))

beforeAll(() => {
  fs.mkdirSync(app)
  fs.writeFileSync(path.join(app, "package.json"), '{ "name": "app", "private": true, "type": "module" }\n')

  // Without its scripts, because dist/ is fresh and others may be using it.
  const [pack] = JSON.parse(
    run("npm", "pack", root, "--ignore-scripts", "--json", "--pack-destination", directory),
  )
  packed = pack.files.map((file: { readonly path: string }) => file.path)

  // What the package says it needs, and nothing else, is linked from here; the rest is a real installation, which
  // needs neither a registry nor a filled cache.
  const needed = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
  const links = needed.map((name) => path.join(root, "node_modules", name))
  const offline = ["--offline", "--cache", path.join(directory, "cache"), "--ignore-scripts"]
  run("npm", "install", ...offline, path.join(directory, pack.filename), ...links)
})

afterAll(() => fs.rmSync(directory, { recursive: true, force: true }))

describe("the packed package", () => {
  it("holds what a user needs and no more", () => {
    // What the README refers to.
    const others = packed.filter((file) => !/^(dist|docs|examples)\//.test(file))
    expect(others.sort()).toEqual(["CHANGELOG.md", "LICENSE", "README.md", "package.json"])
    const built = packed.filter((file) => file.startsWith("dist/"))
    expect(
      built.filter(
        (file) =>
          !/^dist\/((process|probe|output|event|job|unit|handle|config|api)\/([a-z]+\/)?)?[A-Za-z0-9]+(\.js|\.d\.ts)$/.test(
            file,
          ),
      ),
    ).toEqual([])
    expect(built).toEqual(
      expect.arrayContaining([
        "dist/index.js",
        "dist/index.d.ts",
        "dist/main.js",
        "dist/cli.js",
        "dist/daemon.js",
      ]),
    )
  })

  /** What loads native code, and what is for tests. */
  const alone = new Set(["./job/SqliteJobStore", "./job/StoreLock", "./testing"])

  it("has a subpath for every namespace of its root, and only what an app may not want is a subpath alone", () => {
    const inRoot = subpaths.filter((subpath) => !alone.has(subpath))
    const found = evaluate(
      `await import("holdfast").then(async (root) => ({
        namespaces: Object.keys(root).sort(),
        native: process.report.getReport().sharedObjects.filter((file) => file.endsWith(".node")),
        strangers: (await Promise.all(${JSON.stringify(inRoot)}.map(async (subpath) => {
          const module = await import(subpath.replace(".", "holdfast"))
          return module === root[subpath.split("/").pop()] ? [] : [subpath]
        }))).flat()
      }))`,
    )
    expect(found).toEqual({
      namespaces: inRoot.map((subpath) => path.basename(subpath)).sort(),
      native: [],
      strangers: [],
    })
  })

  it("keeps its program and its internal modules to itself", () => {
    for (const specifier of ["holdfast/main", "holdfast/dist/main.js", "holdfast/process/Guardian"]) {
      expect(evaluate(`await import("${specifier}").catch((error) => error.code)`)).toBe(
        "ERR_PACKAGE_PATH_NOT_EXPORTED",
      )
    }
  })

  it("has sound types, seen from a project that checks its libraries too", () => {
    fs.writeFileSync(
      path.join(app, "app.ts"),
      [
        'import * as Effect from "effect/Effect"',
        'import { ProcessSpawner } from "holdfast"',
        ...subpaths.map(
          (subpath, index) => `import * as module${index} from "${subpath.replace(".", "holdfast")}"`,
        ),
        `export const modules = [${subpaths.map((_, index) => `module${index}`).join(", ")}]`,
        "export const program = Effect.scoped(",
        "  Effect.andThen(ProcessSpawner.ProcessSpawner, (spawner) =>",
        '    spawner.spawn({ command: ["true"] }),',
        "  ),",
        ")",
        "",
      ].join("\n"),
    )
    const strict = ["--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false"]
    const language = ["--target", "ES2022", "--lib", "ES2023", "--module", "NodeNext", "--types", "node"]
    const typeRoots = path.join(root, "node_modules/@types")
    const tsc = path.join(root, "node_modules/typescript/bin/tsc")
    const output = ["--noEmit", "--pretty", "false", "--typeRoots", typeRoots]
    expect(run(process.execPath, tsc, ...output, ...strict, ...language, "app.ts")).toBe("")
  })

  it("brings the program", () => {
    expect(run(path.join(app, "node_modules/.bin/holdfast"), "--version")).toBe(`${manifest.version}\n`)
  })
})
