/**
 * Memory for output that is kept for a while. Bytes are copied into slabs, which are used again and again: V8 frees what
 * lives for longer than a moment so late that a flood of output would otherwise be kept many times over.
 */

/** A piece of memory that is filled from its beginning. */
export interface Slab {
  readonly bytes: Buffer
  used: number
  holders: number
}

/** The smallest ones are for units that say little. */
const smallest = 1_024
const largest = 262_144

/** Of the largest size, for whoever needs one next: 2 MiB in the whole program. */
const spare: Array<Buffer> = []
const mostSpare = 8

/** Holds a slab: its bytes stay what they are until they are let go. */
export const hold = (slab: Slab): void => {
  slab.holders++
}

/** Lets a slab go that was held. */
export const letGo = (slab: Slab): void => {
  if (--slab.holders === 0 && slab.bytes.length === largest && spare.length < mostSpare)
    spare.push(slab.bytes)
}

/** The slabs of one log; nothing is allocated before the first byte. */
export class Slabs {
  private current: Slab | undefined
  private size = smallest

  /** A slab with room for so many bytes behind `used`. Whoever fills it moves `used` on. */
  reserve(length: number): Slab {
    const { current } = this
    if (current !== undefined && current.bytes.length - current.used >= length) return current
    this.close()
    while (this.size < length && this.size < largest) this.size *= 2
    const bytes =
      (this.size === largest && length <= largest ? spare.pop() : undefined) ??
      Buffer.allocUnsafeSlow(Math.max(this.size, length))
    this.size = Math.min(this.size * 2, largest)
    this.current = { bytes, used: 0, holders: 1 }
    return this.current
  }

  /** Lets go of the slab that is being filled. */
  close(): void {
    if (this.current !== undefined) letGo(this.current)
    this.current = undefined
  }
}
