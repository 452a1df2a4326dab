/** What was last asked of each unit that depends on no other: it has to be so when everything is quiet. */

/** Units that go up and down by orders alone. */
export const independent: ReadonlySet<string> = new Set(["deaf", "escapee", "double", "flooder", "spare"])

interface Order {
  readonly wanted: "up" | "down"
  isClear: boolean
}

/** Orders, as far as one came after the other: of two at a time nobody can say which was the last. */
export class Desires {
  private readonly wanted = new Map<string, "up" | "down">()
  private readonly pending = new Map<string, Set<Order>>()

  /** An order is sent. Call what comes back when it is answered, with whether it was taken. */
  order(names: ReadonlyArray<string>, action: "start" | "stop" | "restart"): (isTaken: boolean) => void {
    const own = names.filter((name) => independent.has(name))
    const order: Order = { wanted: action === "stop" ? "down" : "up", isClear: true }
    for (const name of own) {
      const others = this.pending.get(name) ?? new Set()
      this.pending.set(name, others)
      if (others.size > 0) order.isClear = false
      for (const other of others) other.isClear = false
      others.add(order)
      this.wanted.delete(name)
    }
    return (isTaken) => {
      for (const name of own) {
        this.pending.get(name)!.delete(order)
        if (order.isClear && isTaken) this.wanted.set(name, order.wanted)
        else this.wanted.delete(name)
      }
    }
  }

  /** Nobody knows any more: another daemon does as its configuration says. */
  forget(): void {
    this.wanted.clear()
    for (const orders of this.pending.values()) for (const order of orders) order.isClear = false
  }

  /** What is known. */
  get known(): ReadonlyMap<string, "up" | "down"> {
    return this.wanted
  }
}
