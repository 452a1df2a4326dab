/** Tool directories of OpenHands servers, each in a place of its own that is gone with the scope. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** What a tool directory holds: the text of each file, executable where its name ends with `.sh`. */
export type Files = Readonly<Record<string, string>>

/** A directory of its own for the length of the scope. */
export const temporary: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-preset-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true })),
)

/** Makes a tool directory. */
export const make = (files: Files): Effect.Effect<string, never, Scope.Scope> =>
  Effect.tap(temporary, (directory) =>
    Effect.sync(() => {
      for (const [name, content] of Object.entries(files)) {
        const file = path.join(directory, name)
        fs.mkdirSync(path.dirname(file), { recursive: true })
        fs.writeFileSync(file, content, { mode: name.endsWith(".sh") ? 0o755 : 0o644 })
      }
    }),
  )

/** The text of a `tooling.json`. */
export const tooling = (fields: Readonly<Record<string, unknown>>): string => JSON.stringify(fields)
