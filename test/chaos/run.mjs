/**
 * Beats the built program: `npm run chaos -- --ops 1000 --seed 7`. Options are in `options.ts`. What runs is a child of
 * this one, so that somebody is there to end everything it has started, whatever becomes of it.
 */
import { spawn, spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { bundle } from "../../.config/bundle.mjs"

const root = fileURLToPath(new URL("../..", import.meta.url))
const args = process.argv.slice(2)
// Reading extra certificates would add its time to every start.
const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env

if (!args.includes("--no-build")) {
  const { status } = spawnSync(process.execPath, [".config/build.mjs"], { cwd: root, env, stdio: "inherit" })
  if (status !== 0) process.exit(1)
}
const out = await bundle("test/chaos", ["main", "place"], "holdfast-chaos")

const base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "holdfast-chaos-"))
const mark = randomUUID()
const child = spawn(process.execPath, ["--enable-source-maps", path.join(out, "main.mjs"), ...args], {
  cwd: root,
  env: { ...env, HOLDFAST_CHAOS_BASE: base, HOLDFAST_CHAOS_MARK: mark },
  stdio: "inherit",
})
// A terminal's Ctrl-C reaches both; this one waits for the other.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal))
child.on("exit", async (code, signal) => {
  const { clear } = await import(pathToFileURL(path.join(out, "place.mjs")).href)
  const left = clear({ base, mark }, args.includes("--keep"))
  if (left > 0) console.error(`chaos: ${left} processes were left, and have been ended`)
  process.exitCode = code ?? (signal === null ? 1 : 128 + os.constants.signals[signal])
})
