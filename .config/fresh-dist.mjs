/** Before the tests run, and again before a watch runs them anew: dist/ is what src/ says. */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const build = () => {
  execFileSync(process.execPath, [fileURLToPath(new URL("build.mjs", import.meta.url)), "--no-check"], {
    stdio: "inherit",
  })
}

export const setup = (project) => {
  build()
  project.onTestsRerun(build)
}
