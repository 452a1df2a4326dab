/**
 * Output that passes through: every read of a pipe makes a buffer, and V8 frees those only when 32 MiB of them have come
 * together, or as many small objects as it takes to fill its nursery. So that a flood of output does not make the program
 * larger by so much, the nursery is collected every few megabytes, which takes a fraction of a millisecond.
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

type Collect = (options: { readonly type: "minor" }) => unknown

/** So much may pass, in bytes. */
const step = 1_048_576

const nothing = (): void => {}

let collect: Collect | undefined
let passed = 0

/** V8's own function, which is there for contexts that are made while the flag is set. */
const find = (): Collect => {
  const { gc } = globalThis as { readonly gc?: Collect }
  if (gc !== undefined) return gc
  try {
    setFlagsFromString("--expose-gc")
    const found = runInNewContext("typeof gc === 'function' ? gc : undefined") as Collect | undefined
    setFlagsFromString("--no-expose-gc")
    return found ?? nothing
  } catch {
    // Not V8.
    return nothing
  }
}

/** So many bytes were read that nobody needs any more. */
export const pass = (bytes: number): void => {
  passed += bytes
  if (passed < step) return
  passed = 0
  collect ??= find()
  collect({ type: "minor" })
}
