/** Waits for a line that a writer puts into a log file. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { quote } from "../probe/ProbeResult.js"
import * as InvalidSpec from "../process/InvalidSpec.js"
import * as LinePattern from "../process/LinePattern.js"
import * as Tracing from "../process/Tracing.js"
import { type Line, LineCutter } from "./LineCutter.js"
import * as LogFollow from "./LogFollow.js"

/** A pattern takes longer for one line than the program can stand still. */
export class PatternTooSlow extends Schema.TaggedError<PatternTooSlow>()("PatternTooSlow", {
  path: Schema.String,
  pattern: Schema.String,
  /** Of the line, in bytes. */
  offset: Schema.Int,
  /** Of the line, in UTF-16 code units. */
  length: Schema.Int,
}) {
  override get message(): string {
    return `The pattern /${quote(this.pattern)}/ took more than ${LinePattern.limitMillis} ms for one line of ${this.length} characters, at offset ${this.offset} of "${this.path}", and was given up. Repetitions within repetitions, such as (a+)+, do that: write it without them.`
  }
}

/** The writer is done, and no line matched. */
export class PatternNotFound extends Schema.TaggedError<PatternNotFound>()("PatternNotFound", {
  path: Schema.String,
  pattern: Schema.String,
  /** How far the file was searched, in bytes. */
  searchedTo: Schema.Int,
}) {
  override get message(): string {
    return `The log file "${this.path}" has ended at ${this.searchedTo} bytes, and no line of it matches /${quote(this.pattern)}/. Look at its tail, or correct the pattern.`
  }
}

/** Which line to wait for. */
export interface PatternOptions extends LogFollow.Options {
  /** A regular expression, matched with each line by itself. The flags `g` and `y` mean nothing here. */
  readonly pattern: RegExp | string
}

/** A line that matches. */
export interface Match {
  /** Without its end. */
  readonly line: string
  /** Of the line, in bytes. */
  readonly offset: number
  /** After the line: where to wait for the next one. */
  readonly nextOffset: number
  /** The named groups of the pattern that took part. */
  readonly groups: Readonly<Record<string, string>>
}

const Pattern = Schema.Union(
  Schema.instanceOf(RegExp),
  Schema.String.pipe(
    Schema.filter((source) => {
      try {
        void new RegExp(source)
        return true
      } catch {
        return false
      }
    }),
  ),
).annotations({ message: () => ({ message: "expected a regular expression", override: true }) })

const decodePattern = InvalidSpec.decoder("log wait", Schema.Struct({ pattern: Pattern }))

const stateless = (pattern: RegExp | string): RegExp =>
  typeof pattern === "string"
    ? new RegExp(pattern)
    : new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ""))

/** A pattern as {@link awaitPattern} takes it, without the flags that mean nothing here. Fails with `InvalidSpec`. */
export const compile = (pattern: RegExp | string): Effect.Effect<RegExp, InvalidSpec.InvalidSpec> =>
  Effect.map(decodePattern({ pattern }), (decoded) => stateless(decoded.pattern))

const search = (path: string, pattern: RegExp, lines: ReadonlyArray<Line>) =>
  Effect.suspend(() => {
    const texts = lines.map(({ text }) => text)
    const result = LinePattern.search(pattern, texts)
    if (result === undefined) return Effect.succeed(undefined)
    const line = lines[result.index]!
    if (result._tag === "Match") return Effect.succeed({ line, match: result.match })
    const { offset, text } = line
    return Effect.fail(new PatternTooSlow({ path, pattern: pattern.source, offset, length: text.length }))
  })

const waitForPattern = (
  path: string,
  options: PatternOptions,
): Effect.Effect<Match, LogFollow.Failure | PatternNotFound | PatternTooSlow> =>
  Effect.gen(function* () {
    const pattern = yield* compile(options.pattern)
    const cutter = new LineCutter()
    let searchedTo = options.offset ?? 0
    const found = yield* LogFollow.follow(path, options).pipe(
      Stream.map((item) => {
        if (item._tag === "Data") {
          // What was dropped in between may have held the end of a line: what is known of it is none.
          if (item.offset !== searchedTo) cutter.flush()
          searchedTo = item.offset + item.bytes.length
          return cutter.push(item.bytes, item.offset)
        }
        // What a truncation cut off is no line.
        const rest = cutter.flush()
        return item.reason === "replaced" ? rest : []
      }),
      Stream.concat(Stream.sync(() => cutter.flush())),
      Stream.mapEffect((lines) => search(path, pattern, lines)),
      Stream.filterMap(Option.fromNullable),
      Stream.runHead,
    )
    if (Option.isNone(found)) {
      return yield* new PatternNotFound({ path, pattern: pattern.source, searchedTo })
    }
    const { line, match } = found.value
    const { nextOffset, offset, text } = line
    return { line: text, offset, nextOffset, groups: LinePattern.groupsOf(match) }
  })

/**
 * Waits for the first line, from an offset on, that matches. A line counts when its end is written, or the writer is
 * `done`: half a line could match with half a word. Of a line longer than 8 KiB each piece of 8 KiB is matched by
 * itself. An `offset` within a line makes a line of the rest of it, as does what was dropped (`gap`). Missing, truncated
 * and renamed files are as in `LogFollow.follow`; the offset is in the file that the line stood in.
 *
 * Fails with `PatternNotFound` when the writer is done, `PatternTooSlow` for a pattern that takes longer than 250 ms
 * for a line, and as `LogFollow.follow`. When it is interrupted, no watch and no descriptor is left.
 */
export const awaitPattern = (
  path: string,
  options: PatternOptions,
): Effect.Effect<Match, LogFollow.Failure | PatternNotFound | PatternTooSlow> =>
  Tracing.withSpan(waitForPattern(path, options), "LogPattern.awaitPattern", () => ({ path }))
