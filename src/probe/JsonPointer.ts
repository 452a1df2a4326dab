/** JSON Pointer (RFC 6901): names one value inside a JSON document. */

/** Whether the text is a pointer: empty (the whole document), or `/` and reference tokens. */
export const isPointer = (text: string): boolean =>
  text === "" || (text.startsWith("/") && !/~(?![01])/.test(text))

/** The value that `pointer` names in `document`; undefined when there is none. */
export const get = (document: unknown, pointer: string): unknown => {
  let value = document
  for (const token of pointer.split("/").slice(1)) {
    const key = token.replaceAll("~1", "/").replaceAll("~0", "~")
    if (Array.isArray(value)) value = /^(0|[1-9]\d*)$/.test(key) ? value[Number(key)] : undefined
    else if (typeof value === "object" && value !== null && Object.hasOwn(value, key)) {
      value = (value as Record<string, unknown>)[key]
    } else return undefined
  }
  return value
}
