/** A web server that greets, tells how it is at /health, and answers what it was asked before it ends. */
import { readFile } from "node:fs/promises"
import { createServer } from "node:http"

const { greeting } = JSON.parse(await readFile(process.env.EXAMPLE_DATA, "utf8"))
let visitors = 0

const server = createServer((request, response) => {
  if (request.url === "/health") {
    response.setHeader("Content-Type", "application/json").end(JSON.stringify({ healthy: true }))
  } else {
    visitors++
    response.end(`${greeting}, visitor ${visitors}!\n`)
  }
})
server.listen(Number(process.env.PORT), "127.0.0.1", () =>
  console.log(`listening on ${server.address().port}`),
)

process.on("SIGTERM", () => {
  console.log(`stopping after ${visitors} visitors`)
  server.close()
  server.closeIdleConnections()
})
