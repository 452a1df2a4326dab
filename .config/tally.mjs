/**
 * A vitest reporter that ends a run with one plain line, `N passed, N failed`, and makes a run in which no test ran a
 * failure.
 */
export default class Tally {
  #line = ""

  onTestRunEnd(modules, errors) {
    let passed = 0
    // What failed without being a test: errors nobody caught, and files that could not even be loaded.
    let failed = errors.length
    let skipped = 0
    for (const module of modules) {
      failed += module.errors().length
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === "passed") passed++
        else if (state === "failed") failed++
        else skipped++
      }
    }
    this.#line = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`
    if (passed + failed === 0) {
      console.error("No test ran.")
      process.exitCode = 1
    }
  }

  /** After the summary of vitest, so that this is the last line. */
  onFinished() {
    console.log(this.#line)
  }
}
