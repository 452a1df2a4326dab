/**
 * The validations that are under way. Each runs on a fiber of its own, so that it can be left behind at its deadline
 * or when the handle closes, however it hangs; all share one timer. (`Effect.timeout` takes two fibers and a timer for
 * each, which is more than all the rest of an acquire.)
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Tracer from "effect/Tracer"
import { forkNow } from "./ForkNow.js"

/** How a validation ended: by itself, at its deadline, or with the handle. */
export type Look = Exit.Exit<unknown, unknown> | "expired" | "closed"

interface Pending {
  /** By the clock of {@link Means.now}. */
  readonly deadline: number
  readonly end: (how: "expired" | "closed") => void
}

/** What the validations work with. */
export interface Means {
  /** In milliseconds, of a clock that only goes forward. */
  readonly now: () => number
  /** For each validation, in milliseconds. */
  readonly timeout: number
  /** Runs on its own, as long as the handle is open. */
  readonly fork: (effect: Effect.Effect<void>) => unknown
  /** What validations require. */
  readonly context: Context.Context<never>
}

/** Something that restores the interruptibility of a caller. */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** The validations of one handle. */
export class Looks {
  /** In the order of their deadlines. */
  private readonly pending = new Set<Pending>()
  private isWatched = false
  private isClosed = false

  constructor(private readonly means: Means) {}

  /**
   * Validates, within the fiber state (log annotations, trace) of the caller. One that does not have to wait for
   * anything is over at once. To be used where nothing interrupts; an interruption of the wait, which `restore` allows,
   * calls `onInterrupt` and ends the validation.
   */
  run(
    check: Effect.Effect<unknown, unknown>,
    restore: Restore,
    onInterrupt: () => void,
  ): Effect.Effect<Look> {
    return Effect.withFiberRuntime((caller) => {
      const { context } = this.means
      const span = caller.currentSpan
      const around = span === undefined ? context : Context.add(context, Tracer.ParentSpan, span)
      return Effect.flatMap(forkNow(check, around), (fiber) => {
        const exit = fiber.unsafePoll()
        if (exit !== null) return Effect.succeed(exit)
        return Effect.onInterrupt(restore(this.wait(fiber)), () =>
          Effect.zipRight(Effect.sync(onInterrupt), Fiber.interrupt(fiber)),
        )
      })
    })
  }

  /** Whoever waits is told that the handle is closed. */
  close(): void {
    this.isClosed = true
    for (const { end } of this.pending) end("closed")
  }

  private wait(fiber: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<Look> {
    return Effect.async((resume) => {
      const pending: Pending = {
        deadline: this.means.now() + this.means.timeout,
        end: (how) => {
          this.pending.delete(pending)
          // It may hang in its own cleaning up: nobody waits for that.
          fiber.unsafeInterruptAsFork(FiberId.none)
          resume(Effect.succeed(how))
        },
      }
      fiber.addObserver((exit) => {
        this.pending.delete(pending)
        resume(Effect.succeed(exit))
      })
      if (this.isClosed) return pending.end("closed")
      if (fiber.unsafePoll() !== null) return
      this.pending.add(pending)
      if (!this.isWatched) {
        this.isWatched = true
        this.means.fork(this.watch)
      }
      return Effect.sync(() => this.pending.delete(pending))
    })
  }

  /** Ends what is late, until nothing is left. */
  private readonly watch: Effect.Effect<void> = Effect.suspend(() => {
    for (const { deadline, end } of this.pending) {
      const left = deadline - this.means.now()
      if (left > 0) return Effect.zipRight(Effect.sleep(left), this.watch)
      end("expired")
    }
    this.isWatched = false
    return Effect.void
  })
}
