/** The notation of lengths of time, apart from its schema: a program that needs no schemas starts without them. */

const millisPerUnit: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Milliseconds of `500ms`, `10s`, `5m`, `1h30m`; a bare number is seconds. Undefined when it is none of these. */
export const parse = (input: string): number | undefined => {
  const text = input.trim()
  if (/^\d+(\.\d+)?$/.test(text)) return finite(Number(text) * 1_000)
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined
  let millis = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    millis += Number(amount) * millisPerUnit[unit!]!
  }
  return finite(millis)
}

const finite = (number: number): number | undefined => (Number.isFinite(number) ? number : undefined)
