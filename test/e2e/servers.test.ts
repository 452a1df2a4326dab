/**
 * Real servers that depend on each other: Redis, a Node server in front of it, nginx in front of that, and Python's file
 * server beside them; killed, hung, made to crash in a loop, and their configuration changed under them.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Config from "../../src/config/Config.js"
import { ProcessSpawner } from "../../src/process/ProcessSpawner.js"
import * as Supervisor from "../../src/unit/Supervisor.js"
import { killPid } from "../process/killPid.js"
import { eventually, isAlive, marked } from "../process/support.js"
import { comesTo, ground } from "../unit/support.js"

const isInstalled = (program: string): boolean => {
  try {
    execFileSync("which", [program], {
      stdio: "ignore",
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
    })
    return true
  } catch {
    return false
  }
}

const wanted = ["redis-server", "nginx", "python3"]
const missing = wanted.filter((program) => !isInstalled(program))

/** Answers with what Redis says to a PING. */
const web = `
  const net = require("node:net")
  require("node:http").createServer((request, response) => {
    if (request.url === "/health") return response.end("fine")
    const socket = net.connect(Number(process.env.REDIS_PORT), "127.0.0.1", () => socket.write("PING\\r\\n"))
    socket.once("data", (data) => { response.end(String(data)); socket.destroy() })
    socket.once("error", (error) => { response.statusCode = 502; response.end(error.message) })
  }).listen(Number(process.env.PORT), "127.0.0.1")
`

/** Writes nginx's own configuration, which cannot take ports from variables. */
const configureNginx = `
  const { PORT, DIR, WEB_PORT } = process.env
  require("node:fs").writeFileSync(DIR + "/nginx.conf", \`
    daemon off; worker_processes 1; pid \${DIR}/nginx.pid; error_log stderr;
    events { worker_connections 64; }
    http {
      access_log off; client_body_temp_path \${DIR}/body; proxy_temp_path \${DIR}/proxy;
      fastcgi_temp_path \${DIR}/f; uwsgi_temp_path \${DIR}/u; scgi_temp_path \${DIR}/s;
      server { listen 127.0.0.1:\${PORT}; location / { proxy_pass http://127.0.0.1:\${WEB_PORT}; } }
    }\`)
`

const quoted = (text: string): string => JSON.stringify(text)

/** The configuration; `webScript` is what changes under the running servers. */
const yaml = (directory: string, webScript: string): string => `
units:
  redis:
    command: [redis-server, --port, "\${port}", --bind, 127.0.0.1, --save, "", --appendonly, "no", --dir, ${quoted(directory)}]
    port: auto
    host: 127.0.0.1
    readiness: { log: { pattern: "Ready to accept connections" } }
    liveness: { tcp: {}, period: 5s }
  web:
    command: [node, ${quoted(path.join(directory, webScript))}]
    port: auto
    host: 127.0.0.1
    env: { PORT: "\${port}", REDIS_PORT: "\${redis.port}" }
    requires: [redis]
    readiness: { http: { path: /health } }
    restart: { policy: on-failure, maxFailures: 2, backoff: { initial: 10ms, max: 20ms } }
  configure-nginx:
    kind: oneshot
    command: [node, ${quoted(path.join(directory, "configure.js"))}]
    env: { DIR: ${quoted(directory)}, PORT: "\${nginx.port}", WEB_PORT: "\${web.port}" }
  nginx:
    command: [nginx, -e, stderr, -p, ${quoted(directory)}, -c, ${quoted(path.join(directory, "nginx.conf"))}]
    port: auto
    host: 127.0.0.1
    env: { PATH: "${process.env.PATH}:/usr/sbin" }
    requires: [configure-nginx, web]
    readiness: { http: { path: /health } }
    stop: { signal: QUIT, grace: 5s }
  files:
    command: [python3, -m, http.server, "\${port}", --bind, 127.0.0.1, --directory, ${quoted(directory)}]
    port: auto
    host: 127.0.0.1
    startup: { http: { path: / }, failureThreshold: 100 }
    liveness: { http: { path: / }, period: 200ms, timeout: 1s, failureThreshold: 3 }
    stop: { grace: 500ms }
  all:
    kind: target
    requires: [nginx, files]
`

const planOf = (directory: string, webScript: string) =>
  Effect.map(
    Config.parse(yaml(directory, webScript), { file: path.join(directory, "holdfast.yaml") }),
    ({ plan }) => plan,
  )

const get = (port: number | undefined, where = "/"): Effect.Effect<string> =>
  Effect.promise(async () => (await fetch(`http://127.0.0.1:${port}${where}`)).text())

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-servers-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true })),
)

describe.skipIf(missing.length > 0)(
  `real servers${missing.length > 0 ? ` (not installed: ${missing.join(", ")})` : ""}`,
  () => {
    it.live(
      "come up in order, survive KILL and STOP, are given up when they crash in a loop, and follow their configuration",
      () =>
        Effect.gen(function* () {
          const { owner } = yield* ProcessSpawner
          yield* Effect.scoped(
            Effect.gen(function* () {
              const directory = yield* temporary
              const scripts = {
                "web.js": web,
                "configure.js": configureNginx,
                "broken.js": 'console.error("no database here"); process.exit(3)',
              }
              for (const [name, text] of Object.entries(scripts))
                fs.writeFileSync(path.join(directory, name), text)
              const plan = yield* planOf(directory, "web.js")
              const supervisor = yield* Supervisor.make({
                plan,
                root: path.join(directory, "root"),
                autostart: false,
              })
              const { kill, reload, start, status, why } = supervisor
              yield* start(["all"])
              const up = yield* supervisor.list
              expect(up.filter(({ state }) => state !== "ready" && state !== "exited")).toEqual([])
              const nginx = yield* status("nginx")
              expect(yield* get(nginx.port)).toBe("+PONG\r\n")
              const [redis, webStatus, files] = [
                yield* status("redis"),
                yield* status("web"),
                yield* status("files"),
              ]
              // Each was Ready before what needs it was started.
              expect(redis.readyAt!).toBeLessThanOrEqual(webStatus.startedAt!)
              expect(webStatus.readyAt!).toBeLessThanOrEqual(nginx.startedAt!)

              // Killed in the middle: back with the same port, and nobody else touched.
              const down = yield* Effect.fork(comesTo(supervisor, "redis", "stopping", "backoff", "starting"))
              yield* kill("redis", "SIGKILL")
              yield* down
              yield* supervisor.awaitReady("redis")
              const again = yield* status("redis")
              expect(again.pid).not.toBe(redis.pid)
              expect([again.port, again.restarts]).toEqual([redis.port, 1])
              expect(yield* get(nginx.port)).toBe("+PONG\r\n")
              expect((yield* status("nginx")).pid).toBe(nginx.pid)

              // Hung: replaced by the liveness probe.
              killPid(files.pid!, "SIGSTOP")
              yield* comesTo(supervisor, "files", "stopping")
              const replaced = yield* supervisor.awaitReady("files")
              expect(replaced.pid).not.toBe(files.pid)
              expect(isAlive(files.pid!)).toBe(false)
              expect(yield* get(replaced.port)).toContain("nginx.conf")

              // The configuration changes to something that crashes: that unit alone is touched, and given up.
              const broken = yield* planOf(directory, "broken.js")
              const { diff, started } = yield* reload(broken)
              expect(diff.changed.map(({ name }) => name)).toEqual(["web"])
              expect(started).toMatchObject([
                { name: "web", state: "failed", failure: { kind: "RestartsExhausted" } },
              ])
              const { chain } = yield* why("web")
              expect(chain).toMatchObject([{ unit: "web", state: "failed", output: ["no database here"] }])
              expect(chain[0]!.reason).toContain("exit code 3")
              expect((yield* status("redis")).pid).toBe(again.pid)

              // And back.
              yield* reload(plan)
              expect(yield* get(nginx.port)).toBe("+PONG\r\n")
              expect((yield* status("nginx")).pid).toBe(nginx.pid)

              const pids = (yield* supervisor.list).flatMap(({ pid }) => (pid === undefined ? [] : [pid]))
              yield* supervisor.shutdown()
              expect(pids.filter(isAlive)).toEqual([])
            }),
          )
          yield* eventually("nothing is left", () => marked(owner).length === 0)
        }).pipe(Effect.provide(ground)),
      60_000,
    )
  },
)
