/** Servers that are processes of their own, and what the tests of them share. */
import * as Effect from "effect/Effect"
import * as Deferred from "effect/Deferred"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Server from "../../src/handle/Server.js"
import type { Needs } from "../../src/unit/Supervisor.js"
import type { InvalidSpec } from "../../src/process/InvalidSpec.js"
import { ProcessSpawner } from "../../src/process/ProcessSpawner.js"
import { assert, it } from "@effect/vitest"
import { marked } from "../process/support.js"
import { ground } from "../unit/support.js"
import { EventLog } from "../../src/event/EventLog.js"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"

/** A Node program that is given the port as its argument. */
export const program = (script: string): [string, ...Array<string>] => [
  process.execPath,
  "-e",
  `const port = Number(process.argv[1]); const http = require("http");
   const serve = (answer, host = "127.0.0.1") => http.createServer(answer).listen(port, host);
   ${script}`,
  "${port}",
]

/** Answers every path with its version and pid. */
export const ok = program(
  `serve((request, response) => response.end(JSON.stringify({ version: "v1.2.3", pid: process.pid, path: request.url })))`,
)

/** A managed server; `ok` unless told otherwise. */
export const managed = (
  input: Partial<Server.ManagedInput> = {},
  options: Server.Options = {},
): Effect.Effect<Server.Server, InvalidSpec, Needs | Scope.Scope> =>
  Server.managed({ name: "web", command: ok, ...input }, { guard: { environment: {} }, ...options })

/** The real ground, on which nothing is logged. */
export const quiet = Layer.merge(ground, Logger.minimumLogLevel(LogLevel.None))

/** A test of real processes, all of which have to be gone at its end. */
export const live = <E>(
  name: string,
  body: () => Effect.Effect<unknown, E, Needs | EventLog | Scope.Scope>,
  timeout?: number,
) =>
  it.live(
    name,
    () =>
      Effect.gen(function* () {
        yield* Effect.scoped(body())
        const { owner } = yield* ProcessSpawner
        assert.deepStrictEqual(marked(owner), [], "processes are left")
      }).pipe(Effect.provide(quiet)),
    timeout,
  )

/** The live processes of this test. */
export const processes = Effect.map(ProcessSpawner, ({ owner }) => marked(owner))

/** Something that can be waited for, and counted. */
export const signal = <A>() => {
  const first = Effect.runSync(Deferred.make<A>())
  const all: Array<A> = []
  return {
    all,
    first: Deferred.await(first),
    tell: (value: A): Effect.Effect<void> =>
      Effect.suspend(() => {
        all.push(value)
        return Effect.asVoid(Deferred.succeed(first, value))
      }),
  }
}

/** Asks a server for JSON. */
export const fetchJson = (url: string): Effect.Effect<{ readonly pid: number; readonly path: string }> =>
  Effect.promise(async () => (await fetch(url)).json() as never)

/** The error of something that has to fail in a certain way. */
export const failsWith =
  <const T extends string>(tag: T) =>
  <A, E extends { readonly _tag: string }, R>(
    effect: Effect.Effect<A, E, R>,
  ): Effect.Effect<Extract<E, { readonly _tag: T }>, never, R> =>
    Effect.match(effect, {
      onSuccess: (value) => assert.fail(`it succeeded with ${JSON.stringify(value)}`),
      onFailure: (error) => {
        assert.strictEqual(error._tag, tag, String((error as unknown as Error).message))
        return error as Extract<E, { readonly _tag: T }>
      },
    })

/** How often the unit of a server was started. */
export const starts = Effect.gen(function* () {
  const { read } = yield* EventLog
  const { events } = yield* Effect.orDie(read({ limit: 1_000, types: ["unit"] }))
  return events.filter(({ type }) => type === "unit.starting").length
})

/** Looks again and again until it is as it should be. */
export const until = <A, E, R>(
  look: Effect.Effect<A, E, R>,
  holds: (seen: A) => boolean,
): Effect.Effect<A, E, R> => {
  const again: Effect.Effect<A, E, R> = Effect.flatMap(look, (seen) =>
    holds(seen) ? Effect.succeed(seen) : Effect.zipRight(Effect.sleep("5 millis"), again),
  )
  return Effect.flatMap(
    Effect.timeoutOption(again, "15 seconds"),
    Option.match({ onNone: () => Effect.dieMessage("it never came to that"), onSome: Effect.succeed }),
  )
}
