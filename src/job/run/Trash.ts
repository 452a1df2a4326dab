/**
 * How the folder of a deleted job goes: out of sight at once, and then for good, also when the program dies between. The
 * trash itself stays, so that nothing has to be made on a full disk, and nothing is moved into what is just going.
 */
import * as fs from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as AttemptFiles from "../keeper/AttemptFiles.js"
import type { JobId } from "../JobId.js"

const trash = "trash"

/** Moves the folder of a job out of the way. Gives what moves it back; undefined where it cannot be moved. */
export const put = (root: string, id: JobId): Effect.Effect<Effect.Effect<void> | undefined> => {
  const [from, to] = [join(root, AttemptFiles.folderOf(id)), join(root, trash, id)]
  return Effect.tryPromise(async () => {
    await fs.mkdir(join(root, trash), { recursive: true, mode: 0o700 })
    await fs.rename(from, to)
    return Effect.ignore(Effect.tryPromise(() => fs.rename(to, from)))
  }).pipe(
    Effect.catchAll(({ error }) =>
      Effect.succeed((error as NodeJS.ErrnoException).code === "ENOENT" ? Effect.void : undefined),
    ),
  )
}

/** Deletes the folder of a job where it is. What cannot be deleted is logged and left. */
export const erase = (root: string, id: JobId): Effect.Effect<void> =>
  Effect.tryPromise(() =>
    fs.rm(join(root, AttemptFiles.folderOf(id)), { recursive: true, force: true }),
  ).pipe(
    Effect.catchAll(({ error }) =>
      Effect.logWarning(`The folder of job ${id} cannot be deleted: ${String(error)}`),
    ),
  )

/** Deletes what was moved out of the way. */
export const empty = (root: string): Effect.Effect<void> =>
  Effect.tryPromise(async () => {
    const folder = join(root, trash)
    await fs.mkdir(folder, { recursive: true, mode: 0o700 })
    for (const name of await fs.readdir(folder))
      await fs.rm(join(folder, name), { recursive: true, force: true })
  }).pipe(
    Effect.catchAll(({ error }) =>
      Effect.logWarning(`The trash of ${root} cannot be emptied: ${String(error)}`),
    ),
  )
