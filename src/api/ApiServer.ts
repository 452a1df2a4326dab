/**
 * The daemon's HTTP server: serves the contract over a `JobRunner`, at a port of this machine or a Unix socket; and over
 * a `Supervisor` and a `PlanSource`, if there are any when it is made.
 */
import { createServer } from "node:http"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { EventLog } from "../event/EventLog.js"
import { JobRunner } from "../job/JobRunner.js"
import type { PortHolders } from "../probe/PortHolder.js"
import type { StopOptions } from "../unit/SupervisorService.js"
import * as ApiError from "./ApiError.js"
import * as Bind from "./Bind.js"
import * as EventHandlers from "./EventHandlers.js"
import * as Handlers from "./Handlers.js"
import * as Listener from "./Listener.js"
import * as Present from "./Present.js"
import * as Token from "./Token.js"
import * as UnitHandlers from "./UnitHandlers.js"

/** How to serve. */
export interface Options {
  /** `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`; port 0 is any that is free. Default `127.0.0.1:19263`. */
  readonly bind?: string | undefined
  /** `token`, the default: whoever asks needs the one under the root. `none`: for loopback and Unix sockets only. */
  readonly auth?: "token" | "none" | undefined
  /** What `GET /health` says. */
  readonly version: string
  /** The text of `GET /metrics`. */
  readonly metrics: Effect.Effect<string>
  /**
   * What `POST /shutdown` does: it makes the program end, and does not wait for that. Default: the program cannot be
   * ended through the API.
   */
  readonly shutdown?: ((options: StopOptions) => Effect.Effect<void>) | undefined
  /** How long headers may take to arrive. Default 10 s. */
  readonly headersTimeout?: Duration.DurationInput | undefined
  /** How long nothing may come of a body. Default 10 s. */
  readonly bodyTimeout?: Duration.DurationInput | undefined
  /** How long a whole request may take to arrive. Default 60 s. */
  readonly requestTimeout?: Duration.DurationInput | undefined
  /** How long what is being answered may take when the server stops. Default 2 s. */
  readonly grace?: Duration.DurationInput | undefined
}

/** A server that listens. */
export class ApiServer extends Context.Tag("holdfast/api/ApiServer")<
  ApiServer,
  {
    /** `http://127.0.0.1:19263` or `unix:PATH`: what clients are told. */
    readonly address: string
    readonly place: Bind.Place
    /** What has to be sent with every request; undefined when nobody is asked. */
    readonly token: string | undefined
  }
>() {}

/** Connections at the same time. One that does nothing costs a descriptor and a few kB. */
const mostConnections = 10_000

/** How often Node looks for requests that have not arrived in time, in milliseconds. */
const lookEvery = 500

const cannotEnd = ApiError.make(
  "invalid_state",
  "The program that serves this API cannot be ended through it; end it in the way that it was started.",
)

const millis = (length: Duration.DurationInput | undefined, otherwise: Duration.DurationInput): number =>
  Duration.toMillis(length ?? otherwise)

/**
 * Serves until the scope closes. Then: no new connections, requests under way may finish within the grace period,
 * waits and streams end at once, and what is left is cut.
 */
export const make: (
  options: Options,
) => Effect.Effect<
  Context.Tag.Service<typeof ApiServer>,
  Bind.BindError | Token.TokenError,
  JobRunner | EventLog | PortHolders | Scope.Scope
> = Effect.fn("ApiServer.make")(function* (options: Options) {
  const place = yield* Bind.parse(options.bind ?? Bind.defaultBind)
  const isOpen = options.auth === "none"
  if (isOpen && !Bind.isPrivate(place))
    return yield* new Bind.UnsafeBind({ bind: options.bind ?? Bind.defaultBind })
  const runner = yield* JobRunner
  const token = isOpen ? undefined : yield* Token.obtain(runner.root)

  const stopping = yield* Deferred.make<void>()
  const jobs = yield* Handlers.make(stopping)
  const units = yield* UnitHandlers.make(stopping)
  const events = yield* EventHandlers.make(stopping)
  const requestTimeout = millis(options.requestTimeout, "60 seconds")
  const server = createServer({
    headersTimeout: Math.min(requestTimeout, millis(options.headersTimeout, "10 seconds")),
    requestTimeout,
    connectionsCheckingInterval: lookEvery,
    keepAliveTimeout: 10_000,
    // A request without is told so in our own words.
    requireHostHeader: false,
    noDelay: true,
  })
  server.maxConnections = mostConnections
  const listener = yield* Listener.attach(server, {
    rules: { token, host: place._tag === "Tcp" ? place.host : undefined },
    handlers: {
      ...jobs,
      ...units,
      ...events,
      health: () => Effect.succeed({ ...Present.head("health"), version: options.version, pid: process.pid }),
      metrics: () => options.metrics,
      shutdown: Effect.fnUntraced(function* ({ urlParams: { grace_ms: grace } }) {
        if (options.shutdown === undefined) return yield* cannotEnd
        yield* options.shutdown(grace === undefined ? {} : { grace: Duration.millis(grace) })
        return { ...Present.head("shutdown"), pid: process.pid }
      }),
      openapi: () =>
        Effect.map(
          Effect.promise(() => import("./Document.js")),
          ({ document }) => document(options.version),
        ),
      docs: () =>
        Effect.map(
          Effect.promise(() => import("./DocsPage.js")),
          ({ page }) => page(options.version),
        ),
    },
    bodyPatience: millis(options.bodyTimeout, "10 seconds"),
  })
  const closed = Effect.async<void>((resume) => {
    server.close(() => resume(Effect.void))
  })
  const bound = yield* Effect.acquireRelease(Bind.listen(server, place), () =>
    Effect.gen(function* () {
      listener.close()
      yield* Deferred.succeed(stopping, undefined)
      // From here on nobody gets in; those who are in are waited for.
      const gone = yield* Effect.fork(closed)
      yield* Effect.timeoutOption(Effect.interruptible(listener.idle), options.grace ?? "2 seconds")
      listener.interrupt()
      yield* Effect.timeoutOption(Effect.interruptible(listener.idle), "1 second")
      server.closeIdleConnections()
      server.closeAllConnections()
      yield* Effect.timeoutOption(Effect.interruptible(Fiber.join(gone)), "1 second")
    }),
  )
  // A fault of a server that listens, such as no descriptor left for a connection, must not end the program.
  server.on("error", () => undefined)
  return { address: Bind.format(bound), place: bound, token }
})

/** {@link make} as a Layer. */
export const layer = (
  options: Options,
): Layer.Layer<ApiServer, Bind.BindError | Token.TokenError, JobRunner | EventLog | PortHolders> =>
  Layer.scoped(ApiServer, make(options))
