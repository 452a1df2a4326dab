/**
 * Builds dist/: the library module by module, with its types, and the program, main.js, with
 * what it loads on demand beside it, cli.js and daemon.js.
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
import { routes } from "./routes.mjs"

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

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "none",
  logLevel: "warning",
}

/** What is loaded only when it is needed, each with all that it needs: an import of it stays an import. */
const apart = { "./cli/Start.js": "./cli.js", "./Daemon.js": "./daemon.js" }

const filesApart = {
  name: "files-apart",
  setup: ({ onResolve }) => {
    onResolve({ filter: /^\.\// }, ({ kind, path }) =>
      kind === "dynamic-import" && Object.hasOwn(apart, path)
        ? { path: apart[path], external: true }
        : undefined,
    )
  },
}

/**
 * The program: main.js knows its version, cli.js has all that a command needs that only talks to the daemon, and
 * daemon.js has Effect and the daemon. Node reads a file in a few milliseconds, and Effect in a hundred.
 */
const program = async (outDir) => {
  const define = {
    HOLDFAST_VERSION: JSON.stringify(manifest.version),
    HOLDFAST_ROUTES: JSON.stringify(await routes(outDir)),
  }
  const bundle = (entry, name, more) =>
    build({
      ...common,
      ...more,
      entryPoints: [entry],
      outfile: path.join(outDir, name),
      define,
      plugins: [filesApart],
    })
  await bundle("src/main.ts", "main.js", { banner: { js: "#!/usr/bin/env node" } })
  // For `--env-file` alone, and no ES module.
  await bundle("src/cli/Start.ts", "cli.js", { external: ["dotenv"] })
  await bundle("src/cli/Daemon.ts", "daemon.js", {
    // Native code stays in its package. What is not an ES module wants to have `require`.
    external: ["better-sqlite3", "libsql"],
    banner: {
      js: 'import { createRequire as holdfastRequire } from "node:module"; const require = holdfastRequire(import.meta.url);',
    },
  })
}

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
