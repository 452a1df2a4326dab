/** Numbers that only look random: the same seed gives the same ones, on every machine. */

/** A source of them. */
export interface Random {
  /** From 0 up to, and without, 1. */
  readonly next: () => number
  /** A whole number from `least` to `most`, both included. */
  readonly whole: (least: number, most: number) => number
  /** One of them. */
  readonly pick: <A>(items: ReadonlyArray<A>) => A
  /** One of them, each as often as its weight says. */
  readonly weighed: <A>(items: ReadonlyArray<readonly [weight: number, item: A]>) => A
  /** Whether something happens that does so in so many cases of one. */
  readonly chance: (share: number) => boolean
}

/** The source of a seed: mulberry32, which 32 bits of state are enough for. */
export const make = (seed: number): Random => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const whole = (least: number, most: number): number => least + Math.floor(next() * (most - least + 1))
  const pick = <A>(items: ReadonlyArray<A>): A => {
    if (items.length === 0) throw new Error("there is nothing to pick from")
    return items[whole(0, items.length - 1)]!
  }
  const weighed = <A>(items: ReadonlyArray<readonly [weight: number, item: A]>): A => {
    let left = next() * items.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, item] of items) {
      left -= weight
      if (left < 0) return item
    }
    return items.at(-1)![1]
  }
  return { next, whole, pick, weighed, chance: (share) => next() < share }
}
