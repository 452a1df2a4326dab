/** What an earlier program on the same root left running: as long as something of a unit lives, it is not started. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { TableUnreadable } from "../../process/ProcessTable.js"
import type { Policy, Reclaim, Report } from "../port/Reclaim.js"

/** An instance of an earlier program is still there. */
export class StrayLeft extends Schema.TaggedError<StrayLeft>()("StrayLeft", {
  unit: Schema.String,
  pid: Schema.Int,
  command: Schema.String,
  why: Schema.String,
}) {
  override get message(): string {
    return `An earlier instance of unit ${this.unit} is still there: ${this.command} (pid ${this.pid}). ${this.why} End it, or the program that keeps it, before this one is started.`
  }
}

const leftOf = ({ leftAlone, reclaimed }: Report): ReadonlyMap<string, StrayLeft> =>
  new Map(
    [
      ...reclaimed.flatMap(({ command, pid, stop, unit }) =>
        stop.survivors.length === 0
          ? []
          : [new StrayLeft({ unit, pid, command, why: "Processes of it have survived KILL." })],
      ),
      ...leftAlone.map(
        ({ command, pid, unit, why }) =>
          new StrayLeft({ unit, pid, command, why: `It is left alone: ${why}.` }),
      ),
    ].map((error) => [error.unit, error] as const),
  )

/** The strays of one root. */
export class Strays {
  private left: ReadonlyMap<string, StrayLeft> = new Map()

  constructor(
    private readonly reclaim: Reclaim,
    private readonly policyOf: (unit: string) => Policy,
  ) {}

  /** Stops what may be stopped. To be called before anything starts. */
  readonly clear: Effect.Effect<void, TableUnreadable> = Effect.suspend(() =>
    Effect.map(this.reclaim.all(this.policyOf), (report) => {
      this.left = leftOf(report)
    }),
  )

  /** Fails when something of a unit is still there. It is looked for anew: somebody may have ended it. */
  check(unit: string): Effect.Effect<void, StrayLeft | TableUnreadable> {
    return Effect.suspend(() => {
      if (!this.left.has(unit)) return Effect.void
      return Effect.flatMap(this.clear, () => this.left.get(unit) ?? Effect.void)
    })
  }

  /** Stops strays that hold one of these ports; false when there was none. */
  leave(ports: ReadonlyArray<number>): Effect.Effect<boolean, TableUnreadable> {
    return Effect.map(this.reclaim.atPorts(ports), (reclaimed) => reclaimed.length > 0)
  }
}
