/**
 * A program that behaves as `opencode serve` does, and misbehaves as its variables say:
 *
 * - `FAKE_VERSION`, `FAKE_HEALTHY`: what its health says;
 * - `FAKE_SILENT`: it never says that it listens;
 * - `FAKE_PROVIDERS`: its provider list; `FAKE_REFUSALS`: so many requests for that are refused first.
 */
import { createServer } from "node:http"

const { env } = process
const argument = (name) => process.argv[process.argv.indexOf(name) + 1]
const host = argument("--hostname")
const port = Number(argument("--port"))
const login = `${env.OPENCODE_SERVER_USERNAME || "opencode"}:${env.OPENCODE_SERVER_PASSWORD}`

let refusals = Number(env.FAKE_REFUSALS ?? 0)
let lists = 0

const answers = {
  "/global/health": () => ({
    healthy: env.FAKE_HEALTHY !== "false",
    version: env.FAKE_VERSION ?? "1.18.33",
  }),
  "/provider": () => {
    lists++
    return refusals-- > 0 ? undefined : JSON.parse(env.FAKE_PROVIDERS ?? "{}")
  },
  "/told": () => ({ pid: process.pid, arguments: process.argv.slice(2), cwd: process.cwd(), env, lists }),
}

createServer(({ headers, url }, response) => {
  if (env.OPENCODE_SERVER_PASSWORD && headers.authorization !== `Basic ${btoa(login)}`) {
    response.statusCode = 401
    return response.end()
  }
  const answer = answers[url]
  if (answer === undefined) {
    response.setHeader("Content-Type", "text/html")
    return response.end("<!doctype html>")
  }
  const body = answer()
  response.statusCode = body === undefined ? 500 : 200
  response.setHeader("Content-Type", "application/json")
  return response.end(JSON.stringify(body ?? {}))
}).listen(port, host, () => {
  if (env.FAKE_SILENT === undefined) console.log(`opencode server listening on http://${host}:${port}`)
})
