/**
 * What a schema allows at a place of its input: which keys there are, and whether a value would do. A place may have
 * several schemas, the members of a union.
 */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"

/** The schemas of one place; none: nothing is known about it. */
export type Shape = ReadonlyArray<SchemaAST.AST>

const structuresOf = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.AST> => {
  switch (ast._tag) {
    case "Suspend":
      return structures(ast.f())
    case "Refinement":
    case "Transformation":
      return structures(ast.from)
    case "Union":
      return ast.types.flatMap(structures)
    default:
      return [ast]
  }
}

/** Through everything that only adds to what an input is. There are few, and each is asked for again and again. */
const structures = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.AST> => {
  const known = cache.get(ast)
  if (known !== undefined) return known
  const found = structuresOf(ast)
  cache.set(ast, found)
  return found
}

const cache = new WeakMap<SchemaAST.AST, ReadonlyArray<SchemaAST.AST>>()

/** What stands under a key. */
export const field = (shape: Shape, key: string): Shape =>
  shape.flatMap(structures).flatMap((ast) => {
    if (ast._tag !== "TypeLiteral") return []
    const own = ast.propertySignatures.find(({ name }) => name === key)
    return own === undefined ? ast.indexSignatures.map(({ type }) => type) : [own.type]
  })

/** What stands in a list. */
export const item = (shape: Shape, index: number): Shape =>
  shape.flatMap(structures).flatMap((ast) => {
    if (ast._tag !== "TupleType") return []
    const element = ast.elements[index]
    return element === undefined ? ast.rest.map(({ type }) => type) : [element.type]
  })

/** The keys that there are; undefined where any will do, or where nothing is known. */
export const keys = (shape: Shape): ReadonlyArray<string> | undefined => {
  const known = new Set<string>()
  for (const ast of shape.flatMap(structures)) {
    if (ast._tag !== "TypeLiteral") continue
    if (ast.indexSignatures.length > 0) return undefined
    for (const { name } of ast.propertySignatures) known.add(String(name))
  }
  return known.size === 0 ? undefined : [...known]
}

/** Whether texts are all that may do. */
export const isText = (shape: Shape): boolean => {
  const all = shape.flatMap(structures).filter(({ _tag }) => _tag !== "UndefinedKeyword")
  return all.length > 0 && all.every((ast) => ast._tag === "StringKeyword" || isWord(ast))
}

const isWord = (ast: SchemaAST.AST): boolean => ast._tag === "Literal" && typeof ast.literal === "string"

/** Whether a value would do. */
export const takes = (shape: Shape, value: unknown): boolean =>
  shape.some((ast) =>
    Either.isRight(ParseResult.decodeUnknownEither(Schema.make<unknown, unknown>(ast))(value)),
  )
