/** Servers on loopback that do just what a test says, and a prober to ask them. */
import { createServer as createHttpServer, type RequestListener } from "node:http"
import { createServer as createHttpsServer } from "node:https"
import { type AddressInfo, createServer, type Server, type Socket } from "node:net"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Check from "../../src/probe/Check.js"
import * as Prober from "../../src/probe/Prober.js"
import type { ProbeFailure, ProbeSuccess } from "../../src/probe/ProbeResult.js"
import type { Target } from "../../src/probe/ProbePlan.js"
import type { InvalidSpec } from "../../src/process/InvalidSpec.js"
import { ProcessSpawner } from "../../src/process/ProcessSpawner.js"
import { selfSigned } from "./certificate.js"

/** A listener, and the connections it has had. */
export interface Listener {
  readonly port: number
  readonly sockets: ReadonlyArray<Socket>
  /** Waits until every connection there has been is closed. */
  readonly allClosed: Effect.Effect<void>
  /** Waits until so many connections have been made. */
  readonly connected: (count: number) => Effect.Effect<void>
}

const bind = (server: Server, host: string, port: number): Effect.Effect<Listener, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Listener & { readonly close: () => void }>((resume) => {
      const sockets: Array<Socket> = []
      const watchers = new Set<() => void>()
      const changed = (): void => watchers.forEach((watcher) => watcher())
      server.on("connection", (socket: Socket) => {
        sockets.push(socket)
        socket.on("error", () => {})
        socket.on("close", changed)
        changed()
      })
      const until = (holds: () => boolean) =>
        Effect.async<void>((done) => {
          const watcher = (): void => {
            if (!holds()) return
            watchers.delete(watcher)
            done(Effect.void)
          }
          watchers.add(watcher)
          watcher()
          return Effect.sync(() => watchers.delete(watcher))
        })
      server.once("error", (cause) => resume(Effect.die(cause)))
      server.listen(port, host, () =>
        resume(
          Effect.succeed({
            port: (server.address() as AddressInfo).port,
            sockets,
            allClosed: until(() => sockets.every((socket) => socket.closed)),
            connected: (count: number) => until(() => sockets.length >= count),
            close: () => {
              server.close()
              for (const socket of sockets) socket.destroy()
            },
          }),
        ),
      )
    }),
    ({ close }) => Effect.sync(close),
  )

/** A TCP server. */
export const tcpServer = (onConnection: (socket: Socket) => void, host = "127.0.0.1", port = 0) =>
  bind(createServer(onConnection), host, port)

/** Takes a connection, reads all that comes, and says nothing. */
export const silent = (socket: Socket): void => void socket.resume()

/** An HTTP server. */
export const httpServer = (onRequest: RequestListener, host = "127.0.0.1", port = 0) =>
  bind(createHttpServer(onRequest), host, port)

/** An HTTPS server whose certificate nobody but itself has signed. */
export const httpsServer = (onRequest: RequestListener, host = "127.0.0.1") =>
  bind(createHttpsServer(selfSigned(host), onRequest), host, 0)

/** A server that answers any request with these bytes, as they stand, and closes. */
export const rawServer = (answer: string | Uint8Array, host = "127.0.0.1") =>
  tcpServer((socket) => void socket.once("data", () => socket.end(answer)), host)

/** An HTTP server with one answer. */
export const jsonServer = (value: unknown, host = "127.0.0.1") =>
  httpServer((_, response) => {
    response.setHeader("content-type", "application/json")
    response.end(JSON.stringify(value))
  }, host)

/** A port that is free at every address, and not one that the system gives to whoever asks for any. */
export const freePort: Effect.Effect<number> = Effect.promise(async () => {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer()
      server.once("error", () => resolve(false))
      // At both families, where there are two.
      server.listen({ port, exclusive: true }, () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
})

/** Spawns nothing. */
export const noSpawner = Layer.succeed(ProcessSpawner, {
  owner: "nobody",
  spawn: () => Effect.dieMessage("this test spawns nothing"),
})

/** Probes over the network only. */
export const proberLive = Layer.provide(Prober.layer, noSpawner)

/** Attaches, and asks once. */
export const ask = (
  check: Check.Input,
  target?: Target,
): Effect.Effect<ProbeSuccess, ProbeFailure | InvalidSpec, Prober.Prober> =>
  Effect.scoped(
    Effect.gen(function* () {
      const prober = yield* Prober.Prober
      const probe = yield* prober.attach(check, target)
      return yield* probe.check
    }),
  )

/** Asks once, and wants a failure. */
export const askFailing = (check: Check.Input, target?: Target) =>
  Effect.map(Effect.flip(ask(check, target)), (error) => {
    if (error._tag !== "ProbeFailure") throw error
    return error
  })
