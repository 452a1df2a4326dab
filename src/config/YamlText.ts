/**
 * From the text of a YAML file to its nodes. What is no YAML, or more of it than any configuration needs, is refused
 * here: whatever comes in, the time is bounded and no stack overflows.
 */
import * as Either from "effect/Either"
import type { Alias, CST, Document, Node, ParsedNode, YAMLError } from "yaml"
import { Composer, isScalar, Lexer, Parser, visit } from "yaml"
import { lineCounter } from "./Place.js"

/** Something wrong at a place of the text. */
export interface Found {
  /** Characters before it. */
  readonly at: number
  readonly path: ReadonlyArray<string | number>
  readonly message: string
  /** The path that was meant, most likely: that it is missing goes without saying. */
  readonly instead?: ReadonlyArray<string | number>
}

/** A YAML document that is whole. */
export interface YamlText {
  readonly text: string
  readonly root: ParsedNode
  /** What each alias stands for; undefined where there is no such anchor before it. */
  readonly aliases: ReadonlyMap<Alias, Node | undefined>
}

/** Bytes of a file. */
export const mostBytes = 1_048_576

/** Levels of nesting, those that aliases bring included. */
export const mostDepth = 64

/** Words, signs and line ends; far more than a file of {@link mostBytes} has that means something. */
const mostTokens = 400_000

/** What is wrong, by the parser's code, where it needs no more to tell. The parser's own words may quote a secret. */
const sentences: Partial<Record<YAMLError["code"], string>> = {
  BAD_ALIAS: "& and * begin an anchor and an alias; put quotes around a text that begins with one",
  BAD_COLLECTION_TYPE: "this is not what its tag says",
  BAD_DIRECTIVE: "there is no such YAML directive or version",
  BAD_DQ_ESCAPE:
    "there is no such escape in double quotes; write \\\\ for a backslash, or use single quotes around the text",
  BAD_PROP_ORDER: "an anchor or a tag stands before the value, after its key",
  BLOCK_AS_IMPLICIT_KEY:
    "a value with `key: ` in it begins on a line of its own; put quotes around a text with a colon and a blank in it, and check the indentation of the next line",
  BLOCK_IN_FLOW: "a comma is missing, or { } and [ ] hold lines that are indented as if they were not there",
  KEY_OVER_1024_CHARS: "a key has at most 1024 characters",
  MULTILINE_IMPLICIT_KEY:
    "a colon and a blank are missing after this key, or the next line is indented too far",
  MULTIPLE_ANCHORS: "there is one anchor too many",
  MULTIPLE_TAGS: "there is one tag too many",
  RESOURCE_EXHAUSTION: "this is nested too deeply",
  TAB_AS_INDENT: "a tab cannot indent; use blanks",
  TAG_RESOLVE_FAILED:
    "there is no such tag, or the value is not one; put quotes around a text that begins with !",
}

const misplaced =
  "this cannot stand here; put quotes around a text with special characters, and around ${...} within { } and [ ]"

const sentence = ({ code, message }: YAMLError): string => {
  const known = sentences[code]
  if (known !== undefined) return known
  switch (code) {
    case "BAD_INDENT":
      return /flow/i.test(message)
        ? `the ${/seq/i.test(message) ? "list" : "mapping"} before this is not closed by ${/seq/i.test(message) ? "]" : "}"}, or not indented far enough`
        : "this is not in line with what it belongs to; check the indentation"
    case "BAD_SCALAR_START":
      return `a text that begins with ${message.at(-1)} needs quotes around it`
    case "MISSING_CHAR": {
      const quote = /closing (["'])/.exec(message)?.[1]
      if (quote !== undefined) return `the text that begins here is not closed by ${quote}`
      if (/comments must/i.test(message)) return "a blank is missing before this #"
      return /flow/i.test(message) ? `a comma is missing before this; or: ${misplaced}` : misplaced
    }
    default:
      return misplaced
  }
}

/** Where to send a reader for it. */
const placeOf = (error: YAMLError, text: string, document: Document.Parsed): number => {
  const [at] = error.pos
  if (error.code === "MISSING_CHAR" && /closing/.test(error.message)) {
    // The parser points to where the text ends at last, mostly the end of the file.
    let start = at
    visit(document, {
      Scalar: (_key, { range, type }) => {
        if (type?.startsWith("QUOTE") === true && range != null && range[0] < at && at <= range[2])
          start = range[0]
      },
    })
    return start
  }
  if (error.code !== "BAD_INDENT") return at
  // The parser points to the beginning of the line.
  const indent = /[ \t]*/y
  indent.lastIndex = at
  indent.test(text)
  return text[at] === " " ? indent.lastIndex : at
}

/** A parser that stumbles on has thousands. */
const mostErrors = 1_000

/** One fault leads to others: only the first of a line is told, and none of the rubble that is left after a value. */
const faultsOf = (text: string, document: Document.Parsed): ReadonlyArray<Found> => {
  const lineAndColumn = lineCounter(text)
  const found = new Map<number, Found>()
  for (const error of [...document.errors, ...document.warnings].slice(0, mostErrors)) {
    const at = placeOf(error, text, document)
    const { line } = lineAndColumn(at)
    const isRubble = error.message.includes("token in YAML stream")
    if (found.has(line) || (isRubble && found.size > 0)) continue
    found.set(line, { at, path: [], message: sentence(error) })
  }
  return [...found.values()]
}

const aliasesOf = (document: Document.Parsed): ReadonlyMap<Alias, Node | undefined> => {
  const anchors = new Map<string, Node>()
  const aliases = new Map<Alias, Node | undefined>()
  visit(document, {
    Alias: (_key, alias) => void aliases.set(alias, anchors.get(alias.source)),
    Value: (_key, node) => {
      if (node.anchor !== undefined) anchors.set(node.anchor, node)
    },
  })
  return aliases
}

/** The parser makes an error of each fault; where it came from is what takes most of its time. */
const withoutStacks = <A>(run: () => A): A => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return run()
  } finally {
    Error.stackTraceLimit = limit
  }
}

const refuse = (at: number, message: string) => Either.left<ReadonlyArray<Found>>([{ at, path: [], message }])

/** Reads one document. */
export const parse = (text: string): Either.Either<YamlText, ReadonlyArray<Found>> => {
  if (text.length > mostBytes)
    return refuse(0, `the file is larger than a configuration may be (${mostBytes} bytes)`)
  const parser = new Parser()
  const tokens: Array<CST.Token> = []
  let count = 0
  for (const lexeme of new Lexer().lex(text)) {
    tokens.push(...parser.next(lexeme))
    if (parser.stack.length > mostDepth)
      return refuse(parser.offset, `this is nested more than ${mostDepth} levels deep`)
    if (++count > mostTokens) return refuse(parser.offset, "the file has more in it than any configuration")
  }
  tokens.push(...parser.end())
  // Keys are compared by the reader: here it would take time in the square of their number.
  const options = { prettyErrors: false, uniqueKeys: false, merge: false } as const
  const [document, second] = withoutStacks(() => {
    const [first, second] = new Composer(options).compose(tokens)
    return [first, second]
  })
  const nothing = "the file is empty; expected units, and what each of them is"
  if (document === undefined) return refuse(0, nothing)
  const faults = faultsOf(text, document)
  if (faults.length > 0) return Either.left(faults)
  if (second !== undefined)
    return refuse(second.range[0], "a second document begins here (---); put everything into one")
  const root = document.contents
  return root === null || (isScalar(root) && root.source === "")
    ? refuse(0, nothing)
    : Either.right({ text, root, aliases: aliasesOf(document) })
}
