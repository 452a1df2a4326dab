/**
 * Numbers that no line has: after a sudden death of the program the next life leaves some out, so that none is given
 * twice. They are not missed by anybody.
 */
export class UnusedNumbers {
  /** How many are left out before a number. */
  private readonly before = new Map<number, number>()

  /** So many numbers before `first` are not used. */
  add(first: number, count: number): void {
    if (count > 0) this.before.set(first, count)
  }

  /** How many lines there were between two, neither of them included. */
  linesBetween(after: number, first: number): number {
    let lines = Math.max(0, first - after - 1)
    if (lines === 0) return 0
    for (const [next, count] of this.before) {
      const from = Math.max(after + 1, next - count)
      lines -= Math.max(0, Math.min(first, next) - from)
    }
    return lines
  }
}
