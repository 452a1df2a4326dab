/**
 * The real OpenCode for the tests: its program for this platform, from the npm registry, into `node_modules/.cache`.
 * It is no dependency of the package, as nobody else needs its 180 MB. `node test/handle/presets/install-opencode.mjs`
 * installs it, unless it is there, and prints where it is; `npm ci` removes it again.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

/** The version that the tests run against. */
export const version = "1.18.33"

/** What the registry said of a package when it was chosen. One that is not named here is taken as npm checks it. */
const integrities = {
  "opencode-linux-x64-baseline":
    "sha512-1KQGBiiDDeL/VHHbHkOvvFo8Jr97WT5+C1tear+p7IcDTnXgVHXqIjU4O4jM4mHQzykTP2i884FCnW5LDa+zCA==",
}

const isMusl = () => process.platform === "linux" && !process.report.getReport().header.glibcVersionRuntime

/** The package with the program. The one for old processors runs on every x64. */
const packageName = [
  "opencode",
  process.platform === "win32" ? "windows" : process.platform,
  process.arch,
  ...(process.arch === "x64" ? ["baseline"] : []),
  ...(isMusl() ? ["musl"] : []),
].join("-")

const cache = fileURLToPath(new URL("../../../node_modules/.cache/", import.meta.url))
const home = path.join(cache, `opencode-${version}`)
const program = path.join("node_modules", packageName, "bin", "opencode")

/** Where the program is; undefined when it is not installed. */
export const installed = () => {
  const file = path.join(home, program)
  return fs.existsSync(file) ? file : undefined
}

/** What npm itself hands to its scripts would tell the inner npm to install somewhere else. */
const environment = () =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)))

/** Installs it, unless it is there, and returns where it is. Throws with what npm says. */
export const install = () => {
  const found = installed()
  if (found !== undefined) return found
  fs.mkdirSync(cache, { recursive: true })
  // Put in its place as a whole, so that nobody sees half of it; whoever is second drops what it has made.
  const scratch = fs.mkdtempSync(path.join(cache, "opencode-"))
  try {
    fs.writeFileSync(path.join(scratch, "package.json"), '{ "private": true }\n')
    execFileSync(
      "npm",
      ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", `${packageName}@${version}`],
      { cwd: scratch, env: environment(), encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] },
    )
    const lock = JSON.parse(fs.readFileSync(path.join(scratch, "node_modules/.package-lock.json"), "utf8"))
    const { integrity } = lock.packages[`node_modules/${packageName}`]
    const wanted = integrities[packageName]
    if (wanted !== undefined && integrity !== wanted)
      throw new Error(`${packageName}@${version} is another one than it was: ${integrity}`)
    try {
      fs.renameSync(scratch, home)
    } catch (error) {
      if (installed() === undefined) throw error
    }
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true })
  }
  return path.join(home, program)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(install())
