/** One connection to one SQLite file, and what its errors mean. */
import * as fs from "node:fs"
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { systemReason } from "../../process/Diagnosis.js"
import type { StoreError } from "../StoreError.js"
import { StoreCorrupt, StoreFailed, StoreFull } from "../StoreError.js"

/** What SQLite stores and gives. */
export type Value = string | number | null

/** A row by the names of its columns. */
export type Row = Readonly<Record<string, Value>>

/** A connection. Each statement runs at once, without letting anything else of the program run. */
export interface Database {
  readonly run: (sql: string, ...values: ReadonlyArray<Value>) => Effect.Effect<ReadonlyArray<Row>, SqlError>
}

const codeIn = (cause: unknown): string => {
  if (typeof cause !== "object" || cause === null) return ""
  if ("code" in cause && typeof cause.code === "string") return cause.code
  return "cause" in cause ? codeIn(cause.cause) : ""
}

/** The code of what SQLite or the system refused, such as `SQLITE_BUSY` or `EACCES`; empty when it has none. */
export const codeOf = (error: unknown): string => codeIn(error)

/** What the system or SQLite said, in one clause. */
export const reasonOf = (error: unknown): string => {
  const code = codeOf(error)
  if (error instanceof SqlError) return `${reasonOf(error.cause)}`
  if (code !== "" && !code.startsWith("SQLITE")) return systemReason(error as NodeJS.ErrnoException)
  return `${error instanceof Error ? error.message : String(error)}${code === "" ? "" : ` (${code})`}`
}

/** Whether the file itself is damaged, or is no database. */
export const isCorrupt = (error: unknown): boolean => /^SQLITE_(CORRUPT|NOTADB)/.test(codeOf(error))

/** Whether there is no room on the disk, which shows in several ways. */
export const isFull = (error: unknown): boolean =>
  /^SQLITE_FULL|^SQLITE_IOERR_(SHMSIZE|SHMOPEN|WRITE|TRUNCATE)$|^ENOSPC$|^EDQUOT$/.test(codeOf(error))

/** The error for damage that SQLite found when it was asked to look. */
export const corruption = (verdict: string): SqlError =>
  new SqlError({
    cause: Object.assign(new Error(verdict), { code: "SQLITE_CORRUPT" }),
    message: "The database is damaged",
  })

/** What an error of the database means to the users of a store. */
export const meaning =
  (path: string) =>
  (error: unknown): StoreError => {
    const code = codeOf(error)
    if (isFull(error)) return new StoreFull({ path })
    if (isCorrupt(error)) return new StoreCorrupt({ path, reason: reasonOf(error) })
    return new StoreFailed({
      path,
      reason: reasonOf(error),
      retryable: /^SQLITE_(BUSY|LOCKED|IOERR)/.test(code),
    })
  }

/**
 * Creates an empty file that only its owner can read, if there is none. One that is there is not opened: to close it
 * would release the locks that this program holds on it.
 */
export const createPrivate = (path: string): void => {
  try {
    fs.closeSync(fs.openSync(path, "wx", 0o600))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause
    fs.chmodSync(path, 0o600)
  }
}

/** Opens a file for the length of the scope, without looking into it. */
export const open = (filename: string): Effect.Effect<Database, SqlError, Scope.Scope> =>
  SqliteClient.make({ filename, disableWAL: true, prepareCacheTTL: Duration.infinity }).pipe(
    Effect.flatMap((client) => client.reserve),
    Effect.provide(Reactivity.layer),
    // The driver throws where it cannot open.
    Effect.catchAllDefect((cause) => Effect.fail(new SqlError({ cause, message: "cannot open" }))),
    Effect.map((connection) => ({
      run: (sql, ...values) => connection.execute(sql, values, undefined) as ReturnType<Database["run"]>,
    })),
  )
