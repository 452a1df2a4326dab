/** Trees as text. */

/** A value, and what is below it. */
export interface Node<A> {
  readonly value: A
  readonly children: ReadonlyArray<Node<A>>
}

/** The lines of a tree; each value has one line or more. */
export const render = <A>(
  root: Node<A>,
  linesOf: (value: A) => ReadonlyArray<string>,
): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const add = ({ children, value }: Node<A>, first: string, rest: string): void => {
    const below = children.length > 0 ? "│ " : "  "
    for (const [index, line] of linesOf(value).entries())
      lines.push((index === 0 ? first : rest + below) + line)
    for (const [index, child] of children.entries()) {
      const isLast = index === children.length - 1
      add(child, `${rest}${isLast ? "└─ " : "├─ "}`, `${rest}${isLast ? "   " : "│  "}`)
    }
  }
  add(root, "", "")
  return lines
}
