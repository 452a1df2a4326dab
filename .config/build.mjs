/**
 * Builds dist/: the library module by module, with its types, and the program as one file, main.js.
 *
 * Everything is made in a directory of its own and then moved into dist/ file by file, only where it differs. So
 * whoever reads dist/ meanwhile (a second run of the tests, a running program) sees whole files, and two builds at
 * once do not harm each other.
 *
 * `--no-check` builds code whose types are wrong, for tests of work in progress; `npm run check` still refuses it.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const root = fileURLToPath(new URL("..", import.meta.url))
const dist = path.join(root, "dist")
const manifest = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"))

const library = (outDir) => {
  const tsc = path.join(root, "node_modules/typescript/bin/tsc")
  const noCheck = process.argv.includes("--no-check") ? ["--noCheck"] : []
  const args = [tsc, "--project", path.join(root, "tsconfig.build.json"), "--outDir", outDir, ...noCheck]
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" })
  if (status !== 0) throw new Error("the library does not compile")
}

/** In the one file, what main.ts loads by `import()` is evaluated only when it is asked for. */
const program = (outDir) =>
  build({
    absWorkingDir: root,
    entryPoints: ["src/main.ts"],
    outfile: path.join(outDir, "main.js"),
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none",
    logLevel: "warning",
    define: { HOLDFAST_VERSION: JSON.stringify(manifest.version) },
    banner: { js: "#!/usr/bin/env node" },
  })

const filesIn = (directory) =>
  fs.existsSync(directory)
    ? fs
        .readdirSync(directory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => path.relative(directory, path.join(entry.parentPath ?? entry.path, entry.name)))
    : []

const moveInto = (target, made) => {
  const files = filesIn(made)
  for (const file of files) {
    const [from, to] = [path.join(made, file), path.join(target, file)]
    if (fs.existsSync(to) && fs.readFileSync(to).equals(fs.readFileSync(from))) continue
    fs.mkdirSync(path.dirname(to), { recursive: true })
    fs.renameSync(from, to)
  }
  for (const file of filesIn(target)) {
    if (!files.includes(file)) fs.rmSync(path.join(target, file), { force: true })
  }
}

const made = fs.mkdtempSync(path.join(root, ".dist-"))
try {
  library(made)
  await program(made)
  fs.chmodSync(path.join(made, "main.js"), 0o755)
  moveInto(dist, made)
} catch (error) {
  console.error(`build: ${error.message}`)
  process.exitCode = 1
} finally {
  fs.rmSync(made, { recursive: true, force: true })
}
