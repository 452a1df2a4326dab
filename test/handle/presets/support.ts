/** What the tests of presets share. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Stream from "effect/Stream"
import type { Change, Handle } from "../../../src/handle/Handle.js"
import { ProcessSpawner } from "../../../src/process/ProcessSpawner.js"
import { eventually, marked } from "../../process/support.js"
import { ground } from "../../unit/support.js"

/** The real ground under a server, which says nothing. */
export const silently = Layer.merge(ground, Logger.minimumLogLevel(LogLevel.None))

/** Processes that this program has started. */
export const members = Effect.map(ProcessSpawner, ({ owner }) => marked(owner).toSorted((a, b) => a - b))

/** Waits until nothing is left of them. */
export const nobody = Effect.flatMap(ProcessSpawner, ({ owner }) =>
  eventually("no process is left", () => marked(owner).length === 0),
)

/** To be made before what brings a handle there, and run after it: the next change to this state. */
export const nextChange = <A, E>({ changes, name }: Handle<A, E>, to: Change["to"]) =>
  Effect.map(Stream.toPull(changes), (pull) =>
    Effect.gen(function* () {
      for (;;) {
        const chunk = yield* Effect.orDie(pull)
        for (const change of chunk) if (change.to === to) return change
      }
    }).pipe(
      Effect.timeoutFail({
        duration: "90 seconds",
        onTimeout: () => new Error(`${name} never came to ${to}`),
      }),
      Effect.orDie,
    ),
  )

/** One GET, and what came of it. */
export const get = (
  url: string,
  headers: Record<string, string> = {},
): Effect.Effect<{ readonly status: number; readonly type: string | null; readonly body: string }> =>
  Effect.promise(async (signal) => {
    const answer = await fetch(url, { headers, signal })
    return { status: answer.status, type: answer.headers.get("content-type"), body: await answer.text() }
  })
