/** Keeps the names of the guests: a POST adds one, a GET gives them all. */
import { createServer } from "node:http"

const guests = []
createServer(async (request, response) => {
  if (request.method === "POST") guests.push((await request.toArray()).join(""))
  response.end(guests.join("\n"))
}).listen(Number(process.argv[2]), "127.0.0.1")
