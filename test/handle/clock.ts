/** A clock that stands still until it is moved on, and knows who sleeps. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

interface Sleeper {
  readonly at: number
  readonly wake: () => void
}

/** Unlike Effect's `TestClock` it forgets those who are interrupted, and takes no turn of the event loop to move on. */
export class StillClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  /** Who sleeps. */
  readonly sleepers = new Set<Sleeper>()
  private millis = 0

  readonly currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())
  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  unsafeCurrentTimeMillis(): number {
    return this.millis
  }

  unsafeCurrentTimeNanos(): bigint {
    return BigInt(Math.round(this.millis * 1e6))
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async((resume) => {
      const sleeper: Sleeper = {
        at: this.millis + Duration.toMillis(duration),
        wake: () => {
          this.sleepers.delete(sleeper)
          resume(Effect.void)
        },
      }
      this.sleepers.add(sleeper)
      return Effect.sync(() => this.sleepers.delete(sleeper))
    })
  }

  /** Moves on, and wakes those whose time has come by then. Those who sleep again have to be woken by another move. */
  advance(millis: number): void {
    this.millis += millis
    for (const { at, wake } of [...this.sleepers].sort((a, b) => a.at - b.at)) {
      if (at <= this.millis) wake()
    }
  }
}
