/** Reads files of text that are small: neither a huge one nor a pipe nor a device holds anybody up. */
import { constants, open } from "node:fs/promises"
import { parse } from "dotenv"
import * as Effect from "effect/Effect"
import { systemReason } from "./Diagnosis.js"
import type { Variables } from "./Mask.js"

/** Why a file cannot be read, as the end of a sentence about it. */
const fail = (reason: string) => Effect.fail(reason)

const utf8 = new TextDecoder("utf-8", { fatal: true })

const decode = (bytes: Uint8Array): Effect.Effect<string, string> => {
  try {
    return Effect.succeed(utf8.decode(bytes))
  } catch {
    const before = new TextDecoder().decode(bytes)
    const line = before.slice(0, before.indexOf("\uFFFD")).split("\n").length
    return fail(`line ${line} is not UTF-8`)
  }
}

const chunkBytes = 65_536

/** The text of a file of at most `mostBytes`; fails with the reason: "it does not exist". */
export const read = (path: string, mostBytes: number): Effect.Effect<string, string> =>
  Effect.acquireUseRelease(
    Effect.tryPromise({
      // A pipe that nobody writes to would keep an open waiting.
      try: () => open(path, constants.O_RDONLY | constants.O_NONBLOCK),
      catch: systemReason,
    }),
    (file) =>
      Effect.gen(function* () {
        const system = <A>(run: () => Promise<A>) => Effect.tryPromise({ try: run, catch: systemReason })
        const stat = yield* system(() => file.stat())
        if (stat.isDirectory()) return yield* fail("it is a directory")
        if (!stat.isFile()) return yield* fail("it is not a regular file")
        const tooLarge = `it is larger than ${mostBytes} bytes`
        if (stat.size > mostBytes) return yield* fail(tooLarge)
        // Those of the kernel have no size, and others grow.
        const chunks: Array<Uint8Array> = []
        let length = 0
        while (length <= mostBytes) {
          const chunk = new Uint8Array(chunkBytes)
          const { bytesRead } = yield* system(() => file.read(chunk, 0, chunkBytes, null))
          if (bytesRead === 0) return yield* decode(Buffer.concat(chunks))
          chunks.push(chunk.subarray(0, bytesRead))
          length += bytesRead
        }
        return yield* fail(tooLarge)
      }),
    (file) => Effect.ignore(Effect.tryPromise(() => file.close())),
  )

/** The most bytes that an env file may have: 1 MiB. */
const mostVariableBytes = 1_048_576

/** The variables of an env file of at most 1 MiB; fails with the reason. */
export const readVariables = (path: string): Effect.Effect<Readonly<Variables>, string> =>
  Effect.filterOrFail(
    Effect.map(read(path, mostVariableBytes), (text): Readonly<Variables> => parse(text)),
    (variables) => !Object.values(variables).some((value) => value?.includes("\0") === true),
    () => "a value in it has a NUL character, which no variable can have",
  )
