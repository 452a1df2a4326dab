/** What the guests see: `/NAME` puts the name into the store and says which guest it is. */
import { createServer } from "node:http"

const [port, store] = process.argv.slice(2)
createServer(async (request, response) => {
  if (request.url === "/health") return response.end("fine")
  const name = decodeURIComponent(request.url.slice(1))
  const stored = await fetch(store, { method: "POST", body: name })
  response.end(`Welcome ${name}, you are guest ${(await stored.text()).split("\n").length}.`)
}).listen(Number(port), "127.0.0.1")
