/**
 * Runs the questions of this folder, each in a Node of its own: `npm run bench`, or `npm run bench version` for one.
 * A mark that is missed is reported and is no failure, unless `--strict` is given (`npm run bench -- --strict`).
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { bundle } from "../.config/bundle.mjs"

const root = fileURLToPath(new URL("..", import.meta.url))
const questions = fs
  .readdirSync(path.join(root, "bench"))
  .flatMap((file) => /^(.+)\.ts$/.exec(file)?.[1] ?? [])
  .filter((name) => !["daemon", "harness"].includes(name))

const args = process.argv.slice(2)
const strict = args.includes("--strict")
const named = args.filter((arg) => arg !== "--strict")
for (const name of named) {
  if (questions.includes(name)) continue
  console.error(`bench: there is no question "${name}"; there are ${questions.join(", ")}`)
  process.exit(2)
}

const node = (...words) => {
  // Reading extra certificates would add its time to every start.
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env
  return spawnSync(process.execPath, words, { cwd: root, env, stdio: "inherit" }).status === 0
}

if (!node(".config/build.mjs")) process.exit(1)
const out = await bundle("bench", ["harness", ...questions], "holdfast-bench")

const { header } = await import(pathToFileURL(path.join(out, "harness.mjs")).href)
console.log(header)
for (const name of named.length > 0 ? named : questions) {
  const flags = ["--expose-gc", "--enable-source-maps"]
  if (!node(...flags, path.join(out, `${name}.mjs`), ...(strict ? ["--strict"] : []))) process.exitCode = 1
}
