/**
 * From a request of `node:http` to its answer: access, route, body, handler. Everything up to the handler happens
 * within the turn of the loop that brought the request, and a handler that waits for nothing is done in it too.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Stream from "effect/Stream"
import * as Tracing from "../process/Tracing.js"
import * as Access from "./Access.js"
import * as ApiError from "./ApiError.js"
import * as BareAnswers from "./BareAnswers.js"
import * as Body from "./Body.js"
import * as RequestTarget from "./RequestTarget.js"
import * as Routes from "./Routes.js"

/** How a listener behaves. */
export interface Options {
  readonly rules: Access.Rules
  readonly handlers: Routes.Handlers
  /** How long nothing may come of a body, in milliseconds. */
  readonly bodyPatience: number
}

/** A listener at work. */
export interface Listener {
  /** From now on requests are refused as `unavailable`. */
  readonly close: () => void
  /** Done when no request is being answered. */
  readonly idle: Effect.Effect<void>
  /** Interrupts whatever is still being answered. */
  readonly interrupt: () => void
}

type Handler = (request: object) => Effect.Effect<unknown, ApiError.ApiError>

const json = "application/json"

const common = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
}

/** A page of ours loads nothing, runs nothing and is framed by nobody. */
const pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"

const send = (
  response: ServerResponse,
  status: number,
  contentType: string,
  text: string,
  headers?: Readonly<Record<string, string>>,
): void => {
  response.writeHead(status, {
    ...common,
    "content-type": contentType,
    "content-length": Buffer.byteLength(text),
    ...headers,
  })
  response.end(text)
}

/** How long a sender of too much is listened to, so that it gets to read why it is refused, in milliseconds. */
const lingering = 1_000

/** Answers a request whose body has not been read. */
const sendEarly = (
  request: IncomingMessage,
  response: ServerResponse,
  error: ApiError.ApiError,
  headers: Readonly<Record<string, string>> = {},
): void => {
  const text = JSON.stringify(ApiError.envelope(error))
  if (request.complete || !Body.isPresent(request)) return send(response, error.status, json, text, headers)
  // A connection that is closed on what was not read is reset, and the answer with it.
  response.writeHead(error.status, {
    ...common,
    "content-type": json,
    "content-length": Buffer.byteLength(text),
    connection: "close",
    ...headers,
  })
  response.write(text)
  const timer = setTimeout(() => response.end(), lingering)
  request.once("close", () => clearTimeout(timer))
  request.once("end", () => response.end())
  request.resume()
}

const internal = ApiError.make(
  "internal_error",
  "Something went wrong within the daemon; its log tells what.",
)
const closing = ApiError.make("unavailable", "The daemon is stopping. Try again when it is back.")

/** Waits until a reader has taken what it was sent; done too when it is gone. */
const drained = (response: ServerResponse): Effect.Effect<void> =>
  Effect.async((resume) => {
    const leave = () => response.off("drain", done).off("close", done)
    const done = () => {
      leave()
      resume(Effect.void)
    }
    response.on("drain", done).on("close", done)
    return Effect.sync(leave)
  })

/** By pulls, one after the other: a stream that is run leaves chains of what is done, which V8 frees late. */
const stream = (response: ServerResponse, { pieces }: Routes.Streamed, contentType: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      response.writeHead(200, { ...common, "content-type": contentType })
      const pull = yield* Stream.toPull(pieces)
      const next = Effect.flatMap(pull, (chunk) =>
        response.write(Chunk.join(chunk, "")) || response.closed ? Effect.void : drained(response),
      )
      yield* Effect.catchAll(Effect.forever(next), (end) =>
        Option.match(end, { onNone: () => Effect.void, onSome: Effect.fail }),
      )
    }),
  )

/** Makes a server answer. */
export const attach = (server: Server, options: Options): Effect.Effect<Listener> =>
  Effect.map(Effect.runtime(), (runtime) => {
    const { bodyPatience, handlers } = options
    const fork = Runtime.runFork(runtime)
    const judge = Access.make(options.rules)
    const active = new Set<Fiber.RuntimeFiber<void, ApiError.ApiError>>()
    const waiters = new Set<() => void>()
    let isClosing = false

    const fail = (response: ServerResponse, cause: Cause.Cause<ApiError.ApiError>, title: string): void => {
      if (response.headersSent || response.destroyed) return void response.end()
      const failure = Option.getOrUndefined(Cause.failureOption(cause))
      const error = failure ?? (Cause.isInterruptedOnly(cause) ? closing : internal)
      if (error === internal) fork(Effect.logError(`${title} failed`, cause))
      send(response, error.status, json, JSON.stringify(ApiError.envelope(error)))
    }

    const answer = (response: ServerResponse, route: Routes.Route, request: object): void => {
      const handle = handlers[route.name] as unknown as Handler
      const run = Effect.flatMap(
        Effect.suspend(() => handle(request)),
        (value) => {
          if (value instanceof Routes.Streamed)
            return Effect.andThen(stream(response, value, route.contentType), () => response.end())
          if (route.contentType === json) send(response, 200, json, JSON.stringify(value))
          else
            send(response, 200, route.contentType, String(value), {
              "content-security-policy": pagePolicy,
            })
          return Effect.void
        },
      )
      const fiber = fork(Tracing.withSpan(Effect.asVoid(run), route.title, () => ({ endpoint: route.name })))
      active.add(fiber)
      response.once("close", () => {
        if (!response.writableFinished) fiber.unsafeInterruptAsFork(FiberId.none)
      })
      fiber.addObserver((exit) => {
        active.delete(fiber)
        if (Exit.isFailure(exit)) fail(response, exit.cause, route.title)
        if (active.size === 0) for (const done of waiters) done()
      })
    }

    const onRequest = (
      request: IncomingMessage,
      response: ServerResponse,
      expects: "continue" | "other" | undefined,
    ): void => {
      const refuse = (error: ApiError.ApiError, headers?: Readonly<Record<string, string>>) =>
        sendEarly(request, response, error, headers)
      const { method = "GET" } = request
      const { headers, path, search } = RequestTarget.read(request)
      if (isClosing) {
        response.shouldKeepAlive = false
        return refuse(closing)
      }
      if (RequestTarget.hosts(request) > 1)
        return refuse(ApiError.make("invalid_request", "The request has more than one Host header."))
      const refusal = judge({ path, headers, localAddress: request.socket.localAddress })
      if (refusal !== undefined) {
        return refuse(
          refusal,
          refusal.code === "unauthorized" ? { "www-authenticate": Access.challenge(path) } : {},
        )
      }
      if (expects === "other") {
        const message = "The request expects something else than 100-continue, which nobody here knows."
        return refuse(ApiError.make("invalid_request", message, { status: 417 }))
      }
      const found = Routes.find(method, path)
      if (found._tag === "WrongMethod") {
        return refuse(
          ApiError.make("method_not_allowed", `There is no ${method} here; there is ${found.allow}.`),
          { allow: found.allow },
        )
      }
      if (found._tag === "BadPath")
        return refuse(ApiError.make("invalid_request", "The path is wrongly percent-encoded."))
      if (found._tag === "Nothing")
        return refuse(
          ApiError.make("not_found", "There is no such endpoint; see /docs for those that there are."),
        )

      const { parameters, route } = found
      const go = (body: Uint8Array | undefined) => {
        const raw = { parameters, search, headers, body }
        const decoded = route.decode(raw)
        if (Either.isLeft(decoded)) refuse(decoded.left)
        else answer(response, route, decoded.right)
      }
      if (!Body.isPresent(request)) return go(undefined)
      const unwanted = Body.refusal(request)
      if (unwanted !== undefined) return refuse(unwanted)
      if (expects === "continue") response.writeContinue()
      Body.read(request, bodyPatience, (body) =>
        guarded(request, response, () => (body instanceof ApiError.ApiError ? refuse(body) : go(body))),
      )
    }

    /** What is thrown here would end the program. */
    const guarded = (request: IncomingMessage, response: ServerResponse, run: () => void): void => {
      try {
        run()
      } catch (defect) {
        fail(response, Cause.die(defect), `${request.method} ${request.url}`)
      }
    }

    const listen = (event: string, expects?: "continue" | "other") =>
      server.on(event, (request: IncomingMessage, response: ServerResponse) =>
        guarded(request, response, () => onRequest(request, response, expects)),
      )
    listen("request")
    listen("checkContinue", "continue")
    listen("checkExpectation", "other")
    BareAnswers.attach(server)

    return {
      close: () => {
        isClosing = true
      },
      idle: Effect.async((resume) => {
        if (active.size === 0) return resume(Effect.void)
        const done = () => resume(Effect.void)
        waiters.add(done)
        return Effect.sync(() => waiters.delete(done))
      }),
      interrupt: () => {
        for (const fiber of active) fiber.unsafeInterruptAsFork(FiberId.none)
      },
    }
  })
