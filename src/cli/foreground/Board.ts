/** Where all units are, as far as it was told: for the line at the bottom, and for the order of what is shown. */
import type { UnitChange } from "../../unit/SupervisorService.js"
import * as Words from "./Words.js"

/** How long output waits for the news that a unit was started anew, in milliseconds. */
const patience = 100

/** The last known state of each unit. */
export class Board {
  private readonly standings = new Map<string, Words.Standing>()
  private readonly generations = new Map<string, number>()
  private readonly live = new Set<string>()
  private waiting: Array<() => void> = []
  isEnding = false
  /** Whether anything has happened yet. */
  hasBegun = false

  constructor(names: ReadonlyArray<string>, now: number) {
    for (const name of names) this.standings.set(name, { name, state: "inactive", since: now })
  }

  /** Takes a change; answers when the unit came to the state that it has left. */
  note({ at, name, status: { kind }, to }: UnitChange): number | undefined {
    this.hasBegun = true
    const since = this.standings.get(name)?.since
    this.standings.set(name, { name, state: to, since: at })
    if (Words.isSettled(to)) this.live.delete(name)
    else if (kind !== "target" && kind !== "external") this.live.add(name)
    return since
  }

  /** Whether nothing of ours runs, or is about to. */
  get isQuiet(): boolean {
    return this.live.size === 0
  }

  /** Says that a change has been shown. */
  told({ name, status: { generation } }: UnitChange): void {
    this.generations.set(name, generation)
    for (const resolve of this.waiting.splice(0)) resolve()
  }

  /** Waits until it was told that this generation of a unit has begun: what it writes comes after that. */
  async begun(name: string, generation: number): Promise<void> {
    const end = performance.now() + patience
    while ((this.generations.get(name) ?? 0) < generation) {
      const left = end - performance.now()
      if (left <= 0) return
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.waiting.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  /** The line at the bottom. */
  line(now: number): string {
    return Words.progress([...this.standings.values()], now, this.isEnding)
  }
}
