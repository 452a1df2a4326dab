/** What the numbers of a read may be. A number outside is an `InvalidSpec`, and nothing was read. */
import * as Schema from "effect/Schema"

/** The most bytes that one read gives: 64 MiB. Whoever wants more reads on with a cursor, or follows. */
export const mostBytes = 67_108_864

/** How many bytes a read gives unless told otherwise: 64 KiB. */
export const defaultBytes = 65_536

const whole = (least: number, most: number, unit: string) =>
  Schema.Int.pipe(Schema.between(least, most)).annotations({
    message: () => ({
      message: `expected a whole number of ${unit}, ${
        most === Number.MAX_SAFE_INTEGER ? `at least ${least}` : `from ${least} to ${most}`
      }`,
      override: true,
    }),
  })

/** A number of lines. */
export const Lines = whole(0, Number.MAX_SAFE_INTEGER, "lines")

/** The cap of a tail, which may be nothing. */
export const TailBytes = whole(0, mostBytes, "bytes")

/** The cap of a cursor read, which must get ahead. */
export const ReadBytes = whole(1, mostBytes, "bytes")

/** A place in a file, in bytes from its beginning. */
export const Offset = whole(0, Number.MAX_SAFE_INTEGER, "bytes")
