/**
 * Where the characters of UTF-8 begin and end, also among bytes that are none: just where a lossy decoder puts its
 * replacement characters (U+FFFD for each maximal part of an ill-formed character, as browsers and Node do). So the
 * pieces of a file that is cut at these places, decoded one by one, make the same text as the file decoded whole.
 */

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80

/** How many bytes the character has that starts with `byte`; 1 for a byte that starts none. */
const lengthOf = (byte: number): number =>
  byte < 0xc2 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 1

/** Whether `second` may follow `first` (Unicode, table 3-7: no overlong forms, no surrogates, nothing too large). */
const maySecond = (first: number, second: number): boolean => {
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  return second >= low && second <= high
}

/** How many of the bytes from `at` on, before `end`, belong to one character or one ill-formed part of it. */
const span = (bytes: Uint8Array, at: number, end: number): number => {
  const first = bytes[at]!
  const whole = Math.min(lengthOf(first), end - at)
  let length = 1
  while (length < whole) {
    const byte = bytes[at + length]!
    if (length === 1 ? !maySecond(first, byte) : !isContinuation(byte)) break
    length++
  }
  return length
}

/** The first place at or after `position` where no character is cut in two. */
export const startAt = (bytes: Uint8Array, position: number): number => {
  for (let at = position - 1; at >= Math.max(0, position - 3); at--) {
    if (!isContinuation(bytes[at]!)) return Math.max(position, at + span(bytes, at, bytes.length))
  }
  return position
}

/** The last place at or before `end` (default: the end of `bytes`) that leaves no character unfinished. */
export const completeEnd = (bytes: Uint8Array, end: number = bytes.length): number => {
  for (let at = end - 1; at >= Math.max(0, end - 3); at--) {
    if (isContinuation(bytes[at]!)) continue
    const length = span(bytes, at, end)
    return at + length === end && length < lengthOf(bytes[at]!) ? at : end
  }
  return end
}

/** The bytes from `start` to `end` as text; what is not UTF-8 becomes U+FFFD. A byte order mark is kept. */
export const decode = (bytes: Uint8Array, start: number = 0, end: number = bytes.length): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8", start, end)
