/** How the folder of a deleted job goes: out of sight at once, and then for good, also when the program dies between. */
import * as fs from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as AttemptFiles from "../keeper/AttemptFiles.js"
import type { JobId } from "../JobId.js"

const trash = "trash"

/** Moves the folder of a job out of the way. Gives what moves it back. What cannot be moved is logged and left. */
export const put = (root: string, id: JobId): Effect.Effect<Effect.Effect<void>> => {
  const [from, to] = [join(root, AttemptFiles.folderOf(id)), join(root, trash, id)]
  return Effect.tryPromise(async () => {
    await fs.mkdir(join(root, trash), { recursive: true, mode: 0o700 })
    await fs.rename(from, to)
    return Effect.ignore(Effect.tryPromise(() => fs.rename(to, from)))
  }).pipe(
    Effect.catchAll(({ error }) =>
      (error as NodeJS.ErrnoException).code === "ENOENT"
        ? Effect.succeed(Effect.void)
        : Effect.as(
            Effect.logWarning(`The folder of job ${id} cannot be deleted: ${String(error)}`),
            Effect.void,
          ),
    ),
  )
}

/** Deletes what was moved out of the way. */
export const empty = (root: string): Effect.Effect<void> =>
  Effect.tryPromise(() => fs.rm(join(root, trash), { recursive: true, force: true })).pipe(
    Effect.catchAll(({ error }) =>
      Effect.logWarning(`The trash of ${root} cannot be emptied: ${String(error)}`),
    ),
  )
