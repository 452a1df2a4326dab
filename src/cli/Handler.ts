/** What does a command. */
import type { Input, Syntax } from "./Syntax.js"
import type { World } from "./World.js"

/** Does a command; resolves to the exit code. A `Failure` that it throws is told to the user. */
export type Handler<S extends Syntax = Syntax> = (input: Input<S>, world: World) => Promise<number>

/** A command's syntax, and how to load what does it. */
export interface Command {
  readonly syntax: Syntax
  readonly load: () => Promise<Handler>
}

/** Joins the two; a handler of another syntax does not fit. */
export const command = <S extends Syntax>(syntax: S, load: () => Promise<Handler<S>>): Command => ({
  syntax,
  load: load as unknown as () => Promise<Handler>,
})
