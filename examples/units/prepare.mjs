/** Makes the data that the web server serves. */
import { writeFile } from "node:fs/promises"

const file = process.env.EXAMPLE_DATA
await writeFile(file, JSON.stringify({ greeting: "Hello", preparedAt: new Date().toISOString() }))
console.log(`prepared ${file}`)
