/** Where a text stops being JSON. Node tells it for some faults only, and quotes the text, which may hold a secret. */

const blank = /[ \t\n\r]*/y
const scalar =
  // oxlint-disable-next-line no-control-regex
  /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y
// oxlint-disable-next-line no-control-regex
const textSoFar = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*/y

const match = (pattern: RegExp, text: string, at: number): number => {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : -1
}

/** The first character, from 0, at which `text` cannot be JSON any more; undefined when it is JSON. */
export const find = (text: string): number | undefined => {
  // What each open bracket is closed by. A loop, as a body may open half a million of them.
  const open: Array<"}" | "]"> = []
  let expecting: "value" | "value or end" | "key" | "key or end" | "more" = "value"
  let at = match(blank, text, 0)
  while (at < text.length || expecting !== "more" || open.length > 0) {
    const next = text[at]
    if (next === undefined) return at
    if (expecting === "more") {
      const closing = open.at(-1)
      if (next === closing) {
        open.pop()
        at += 1
      } else if (next === "," && closing !== undefined) {
        expecting = closing === "}" ? "key" : "value"
        at += 1
      } else return at
    } else if (next === open.at(-1) && expecting.endsWith("end")) {
      open.pop()
      expecting = "more"
      at += 1
    } else if (expecting.startsWith("key")) {
      const end = next === '"' ? match(scalar, text, at) : at
      if (end === -1) return match(textSoFar, text, at)
      if (end === at) return at
      at = match(blank, text, end)
      if (text[at] !== ":") return at
      at += 1
      expecting = "value"
    } else if (next === "{" || next === "[") {
      open.push(next === "{" ? "}" : "]")
      expecting = next === "{" ? "key or end" : "value or end"
      at += 1
    } else {
      const end = match(scalar, text, at)
      if (end === -1) return next === '"' ? match(textSoFar, text, at) : at
      at = end
      expecting = "more"
    }
    at = match(blank, text, at)
  }
  return undefined
}

/** `line 3, column 14`. */
export const describe = (text: string, at: number): string => {
  const before = text.slice(0, at)
  const line = before.split("\n").length
  return `line ${line}, column ${at - before.lastIndexOf("\n")}`
}
