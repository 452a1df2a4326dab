/**
 * Everything that can be said about the code without running its tests, one step after the other; all of them run,
 * and it fails when one does. `npm run check` takes the names of the steps wanted; none means all.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

const bin = (name) => path.join("node_modules/.bin", name)

const steps = {
  // One run tells both: this is the TypeScript compiler with the diagnostics of the Effect language service in it.
  // The `plugins` entry of tsconfig.json turns them on; test/package/checks.test.ts proves that it does.
  types: () => [[run([bin("effect-tsgo"), "get-exe-path"]).trim(), "--project", "tsconfig.json"]],
  lint: () => [[bin("oxlint"), "--deny-warnings"]],
  format: () => [[bin("oxfmt"), "--check"]],
  // What is published, as it is published: the exports, and what TypeScript makes of them.
  package: (scratch) => {
    run([process.execPath, ".config/build.mjs"])
    const [{ filename }] = JSON.parse(
      run(["npm", "pack", "--ignore-scripts", "--json", "--pack-destination", scratch]),
    )
    const tarball = path.join(scratch, filename)
    return [
      [bin("publint"), "run", tarball, "--strict"],
      [bin("attw"), tarball, "--profile", "esm-only"],
    ]
  },
}

class Failed extends Error {}

const run = ([command, ...args]) => {
  const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 2 ** 28 })
  if (error !== undefined) throw new Failed(`${command}: ${error.message}`)
  if (status !== 0) throw new Failed(`${stdout}${stderr}`)
  return stdout
}

const wanted = process.argv.slice(2)
for (const name of wanted) {
  if (!Object.hasOwn(steps, name)) {
    console.error(`check: there is no step "${name}"; there are ${Object.keys(steps).join(", ")}`)
    process.exit(2)
  }
}

for (const name of wanted.length > 0 ? wanted : Object.keys(steps)) {
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-check-"))
  const begin = performance.now()
  let complaint
  try {
    for (const command of steps[name](scratch)) run(command)
  } catch (error) {
    complaint = error instanceof Failed ? error.message : error.stack
    process.exitCode = 1
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true })
  }
  const seconds = ((performance.now() - begin) / 1000).toFixed(1)
  console.log(`${complaint === undefined ? "ok    " : "FAILED"} ${name.padEnd(8)} ${seconds} s`)
  if (complaint !== undefined) console.log(complaint.trimEnd())
}
