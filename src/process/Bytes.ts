/** The notation of sizes: `4096`, `10kB`, `1MiB`. Without Effect, for programs that have to start quickly. */

const bytesPerUnit: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  kib: 2 ** 10,
  m: 1e6,
  mb: 1e6,
  mib: 2 ** 20,
  g: 1e9,
  gb: 1e9,
  gib: 2 ** 30,
}

/** Bytes of `4096`, `10kB`, `1MiB`, in any case. Undefined when it is none of these. */
export const parse = (input: string): number | undefined => {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(input.trim()) ?? []
  const factor = unit === undefined ? undefined : bytesPerUnit[unit.toLowerCase()]
  if (amount === undefined || factor === undefined) return undefined
  const bytes = Math.round(Number(amount) * factor)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}
