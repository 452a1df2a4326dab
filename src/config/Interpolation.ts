/**
 * Variables in the texts of a configuration: `${NAME}`, and `${NAME:-default}`, whose default stands for a variable
 * that is not set or is empty, as in a shell; a default may hold variables again. `$$` is a `$`. Everything else is left
 * for others: `$NAME` and `$(...)` for the shell that runs a command, `${port}` and `${NAME.port}` for the supervisor.
 */

/** Variables by name. */
export type Variables = Readonly<Record<string, string | undefined>>

/** Something wrong in a text; `at` is where its `${` stands. */
export interface Fault {
  readonly at: number
  readonly message: string
}

/** A text with its variables put in. */
export interface Expanded {
  readonly text: string
  /** Whether it has any. */
  readonly hasVariables: boolean
  readonly faults: ReadonlyArray<Fault>
}

const mostDepth = 16
const name = /^[A-Za-z_][A-Za-z0-9_]*/
const placeholder = /^(?:port|[A-Za-z0-9][\w.-]*\.port)$/

const literally = "write $${ for the text ${"
const notClosed = `this \${ is not closed by a }; ${literally}`

/** Only the part of it that is no secret for sure. */
const noVariable = (content: string): string =>
  `\${${(name.exec(content)?.[0] ?? "").slice(0, 60)}…} is no variable; there are \${NAME} and \${NAME:-default}; ${literally}`

/** Puts the variables into a text. It is not read again: what a variable holds stays as it is. */
export const expand = (source: string, variables: Variables): Expanded => {
  let faults: Array<Fault> = []
  let hasVariables = false
  let at = 0

  const valueOf = (variable: string): string | undefined =>
    Object.hasOwn(variables, variable) ? variables[variable] : undefined

  /** Everything up to the end or, of a default, up to its `}`. */
  const read = (depth: number): string => {
    const special = depth > 0 ? /[$}]/g : /\$/g
    let text = ""
    while (at < source.length && !(depth > 0 && source[at] === "}")) {
      const next = source[at + 1]
      if (source[at] === "$" && next === "{") text += expression(depth)
      else if (source[at] === "$") {
        text += "$"
        at += next === "$" ? 2 : 1
      } else {
        special.lastIndex = at
        const end = special.exec(source)?.index ?? source.length
        text += source.slice(at, end)
        at = end
      }
    }
    return text
  }

  const expression = (depth: number): string => {
    const start = at
    const refuse = (message: string): string => {
      faults.push({ at: start, message })
      return ""
    }
    const end = /[$}]|$/g
    end.lastIndex = at + 2
    at = end.exec(source)!.index
    const content = source.slice(start + 2, at)
    const variable = name.exec(content)?.[0]
    if (variable !== undefined && content.startsWith(":-", variable.length) && depth < mostDepth) {
      at = start + 2 + variable.length + 2
      const earlier = faults
      faults = []
      const fallback = read(depth + 1)
      const within = faults
      faults = earlier
      if (source[at] !== "}") return refuse(notClosed)
      at += 1
      if (variable === "port")
        return refuse(`\${port} is the unit's own port, and always there; ${literally}`)
      hasVariables = true
      const value = valueOf(variable)
      if (value !== undefined && value !== "") return value
      // A default that is not needed may name what is not there.
      faults.push(...within)
      return fallback
    }
    if (source[at] !== "}") {
      const isOpen = at === source.length
      at = source.length
      return refuse(isOpen ? notClosed : noVariable(content))
    }
    at += 1
    if (placeholder.test(content)) return `\${${content}}`
    if (variable !== content) return refuse(noVariable(content))
    hasVariables = true
    return (
      valueOf(variable) ??
      refuse(
        `the variable ${variable} is not set; set it, give it a default (\${${variable}:-...}), or ${literally}`,
      )
    )
  }

  const text = read(0)
  return { text, hasVariables, faults }
}
