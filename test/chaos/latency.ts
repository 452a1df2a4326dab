/** How long commands about the state take, as their client sees it: nothing is subtracted. */
import type { Answer, Life } from "./daemon.js"
import { type World, isSame } from "./world.js"

/** Those that are measured. */
export const stateCommands = ["GET /units", "GET /status/ID", "GET /health"] as const
export type StateCommand = (typeof stateCommands)[number]

/** Asks about the state, on a connection of its own that stays open, one question at a time. */
export class Latencies {
  readonly measured = new Map<StateCommand, Array<number>>(stateCommands.map((name) => [name, []]))
  /** Answers over the mark whose repetition was not. */
  outliers = 0

  constructor(
    private readonly world: World,
    /** How long an answer may take, in milliseconds. */
    readonly mark = 100,
  ) {}

  private once(command: StateCommand, id: string): Promise<Answer> {
    const target = command.slice("GET ".length).replace("ID", id)
    return this.world.daemon.ask("GET", target, { isState: true })
  }

  /** Asks once, and once more if that took too long. Undefined: there is no daemon. */
  async ask(command: StateCommand, id = ""): Promise<Answer | undefined> {
    const { daemon, shortages, verdicts } = this.world
    const { life } = daemon
    if (!isSame(this.world, life)) return undefined
    const wasShort = shortages.current === "descriptors"
    const first = await this.once(command, id)
    if (!this.counts(life, first, wasShort)) return first
    this.measured.get(command)!.push(first.millis)
    if (first.millis <= this.mark) {
      verdicts.check("latency")
      return first
    }
    const second = await this.once(command, id)
    if (!this.counts(life, second, wasShort)) return second
    this.measured.get(command)!.push(second.millis)
    const holds = verdicts.expect(
      "latency",
      second.millis <= this.mark,
      () =>
        `${command} took ${Math.round(first.millis)} ms, and ${Math.round(second.millis)} ms at the second asking`,
    )
    this.world.log(`  slow: ${command} ${Math.round(first.millis)} ms, then ${Math.round(second.millis)} ms`)
    if (holds) this.outliers += 1
    return second
  }

  /** Without a descriptor for it no connection can be made, when the one that is kept has been lost. */
  private counts(life: Life | undefined, answer: Answer, wasShort: boolean): boolean {
    return isSame(this.world, life) && answer.status !== 0 && !(wasShort && answer.status >= 500)
  }
}
