/** Stands for a server that costs a lot to have, such as a model's: it says `/WORD` loudly. */
import { createServer } from "node:http"

createServer((request, response) => {
  response.end(`${decodeURIComponent(request.url.slice(1)).toUpperCase()}!`)
}).listen(Number(process.argv[2]), "127.0.0.1")
