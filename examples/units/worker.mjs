/** Asks the web server once a second. It gives up when there is no answer: to start it again is its supervisor's work. */
import { setTimeout as sleep } from "node:timers/promises"

const url = process.argv[2]
try {
  for (;;) {
    const response = await fetch(url)
    console.log(`the web server says: ${(await response.text()).trim()}`)
    await sleep(1_000)
  }
} catch (error) {
  console.error(`no answer from ${url}: ${error.cause?.message ?? error.message}`)
  process.exitCode = 1
}
