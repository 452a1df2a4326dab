/**
 * Many changes, one transaction: what is asked for while a transaction is being written shares the next one, and with
 * it the wait for the disk. A change that fails for reasons of its own changes nothing and disturbs nobody else.
 */
import { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Cause from "effect/Cause"
import type * as Scope from "effect/Scope"
import type { Database } from "./SqlDatabase.js"
import * as SqlDatabase from "./SqlDatabase.js"
import type { StoreError } from "../StoreError.js"
import { StoreFailed } from "../StoreError.js"

/** How a change is to be made. */
export interface CommitOptions {
  /** Not to wait for the disk, unless another change of the same transaction does. Default false. */
  readonly relaxed?: boolean | undefined
  /** Whether it gives room, so that it may use what is kept for that on a full disk. Default false. */
  readonly frees?: boolean | undefined
}

/** How to read and to change a database. */
export interface GroupCommit {
  /** Runs statements that change something; when it has answered, they are on disk. */
  readonly commit: <A, E>(
    change: Effect.Effect<A, E>,
    options?: CommitOptions,
  ) => Effect.Effect<A, Exclude<E, SqlError> | StoreError>
  /** Runs statements that only read, between the transactions. */
  readonly read: <A, E>(question: Effect.Effect<A, E>) => Effect.Effect<A, Exclude<E, SqlError> | StoreError>
}

interface Ticket {
  readonly change: Effect.Effect<unknown, unknown>
  readonly done: Deferred.Deferred<unknown, unknown>
  readonly relaxed: boolean
  readonly frees: boolean
  isWanted: boolean
}

/** So that one transaction does not keep the program from all else for long. */
const atOnce = 64

const faultOf = (exit: Exit.Exit<unknown, unknown>): SqlError | undefined =>
  Exit.isFailure(exit)
    ? Option.getOrUndefined(
        Option.filter(
          Cause.failureOption(exit.cause),
          (error): error is SqlError => error instanceof SqlError,
        ),
      )
    : undefined

/**
 * Starts the writer of a database, which ends with the scope, when everything asked for until then is done.
 *
 * @param afterCommit runs after each transaction, before anybody is told of it; what fails in it is its own affair
 * @param onFault is told of each error of the database
 * @param onRollback is called when what a transaction did is undone
 * @param makeRoom gives up room that is kept on the disk for changes that free some; false when there is none left
 * @param mayRelax whether the database waits for the disk at all; it is told to where a transaction need not
 */
export const make = (
  database: Database,
  path: string,
  afterCommit: Effect.Effect<void>,
  onFault: (error: SqlError) => Effect.Effect<void>,
  onRollback: () => void,
  makeRoom: () => boolean,
  mayRelax = false,
): Effect.Effect<GroupCommit, never, Scope.Scope> =>
  Effect.gen(function* () {
    const mailbox = yield* Mailbox.make<Ticket>()
    const alone = (yield* Effect.makeSemaphore(1)).withPermits(1)

    const answer = (ticket: Ticket, exit: Exit.Exit<unknown, unknown>) => {
      const fault = faultOf(exit)
      return fault === undefined
        ? Deferred.done(ticket.done, exit)
        : Effect.zipRight(onFault(fault), Deferred.fail(ticket.done, SqlDatabase.meaning(path)(fault)))
    }

    const rollback = Effect.zipRight(Effect.sync(onRollback), Effect.ignore(database.run("ROLLBACK")))

    let isWaiting = true
    /** Says whether COMMIT waits for the disk. A later one that does is after all earlier ones on it. */
    const wait = (isNeeded: boolean) =>
      Effect.suspend(() => {
        if (!mayRelax || isNeeded === isWaiting) return Effect.void
        isWaiting = isNeeded
        return database.run(`PRAGMA synchronous = ${isNeeded ? "full" : "normal"}`)
      })

    const transaction = (tickets: ReadonlyArray<Ticket>): Effect.Effect<void> =>
      Effect.gen(function* () {
        const exits: Array<Exit.Exit<unknown, unknown>> = []
        const written = yield* Effect.exit(
          Effect.gen(function* () {
            yield* wait(tickets.some(({ relaxed }) => !relaxed))
            yield* database.run("BEGIN IMMEDIATE")
            for (const { change } of tickets) {
              const exit = yield* Effect.exit(change)
              exits.push(exit)
              const fault = faultOf(exit)
              if (fault !== undefined) return yield* fault
              // A defect may have come half-way: what it left behind must not be committed with the others.
              if (Exit.isFailure(exit) && Option.isNone(Cause.failureOption(exit.cause))) return yield* exit
            }
            yield* database.run("COMMIT")
          }),
        )
        if (Exit.isSuccess(written)) {
          yield* afterCommit
          for (const [index, ticket] of tickets.entries()) yield* answer(ticket, exits[index]!)
          return
        }
        yield* rollback
        const [only, ...others] = tickets
        // Only one of them is at fault, perhaps: each for itself.
        if (others.length > 0) for (const ticket of tickets) yield* transaction([ticket])
        // At once, before any other change of this program takes it.
        else if (only?.frees === true && SqlDatabase.isFull(faultOf(written)) && makeRoom())
          yield* transaction(tickets)
        else if (only !== undefined) yield* answer(only, written)
      })

    const writer = yield* Effect.gen(function* () {
      let isDone = false
      while (!isDone) {
        const [taken, ended] = yield* mailbox.takeAll
        isDone = ended
        const tickets = Chunk.toReadonlyArray(taken)
        for (let from = 0; from < tickets.length; from += atOnce) {
          yield* alone(
            Effect.suspend(() => {
              const wanted = tickets.slice(from, from + atOnce).filter(({ isWanted }) => isWanted)
              return wanted.length === 0 ? Effect.void : transaction(wanted)
            }),
          )
          // Others get their turn between two transactions.
          yield* Effect.yieldNow()
        }
      }
    }).pipe(Effect.uninterruptible, Effect.forkDaemon)
    yield* Effect.addFinalizer(() => Effect.zipRight(mailbox.end, Fiber.await(writer)))

    const translate = <A, E>(
      effect: Effect.Effect<A, E>,
    ): Effect.Effect<A, Exclude<E, SqlError> | StoreError> =>
      Effect.catchAll(effect, (error): Effect.Effect<never, Exclude<E, SqlError> | StoreError> =>
        error instanceof SqlError
          ? Effect.zipRight(onFault(error), Effect.fail(SqlDatabase.meaning(path)(error)))
          : Effect.fail(error as Exclude<E, SqlError>),
      )

    return {
      commit: <A, E>(change: Effect.Effect<A, E>, { frees = false, relaxed = false }: CommitOptions = {}) =>
        Effect.gen(function* () {
          const done = yield* Deferred.make<A, Exclude<E, SqlError> | StoreError>()
          const ticket: Ticket = { change, done: done as Ticket["done"], frees, relaxed, isWanted: true }
          if (!(yield* mailbox.offer(ticket))) {
            return yield* new StoreFailed({ path, reason: "it is closed", retryable: false })
          }
          return yield* Effect.onInterrupt(Deferred.await(done), () =>
            Effect.sync(() => {
              ticket.isWanted = false
            }),
          )
        }),
      read: (question) => alone(translate(question)),
    }
  })
