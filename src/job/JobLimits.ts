/** How much one job may ask for, and which of its fields may hold a secret. */
import type { Issue } from "../process/InvalidSpec.js"
import type * as Mask from "../process/Mask.js"

/** Bytes of one path. */
export const pathBytes = 4_095
/** Elements of one command. */
export const commandItems = 10_000
/** Bytes of command, variables and given input together, in UTF-8. */
export const totalBytes = 1_048_576
/** Variables given, and names masked. */
export const variables = 1_000
export const tags = 32
export const tagLength = 128
export const dependencies = 100
export const retries = 1_000
export const keyLength = 200
export const notifications = 16
export const patternLength = 1_000
export const dayMillis = 86_400_000
export const longestMillis = 365 * dayMillis
/** The end of the year 9999. */
export const lastDate = 253_402_300_799_999

/** What the limits and the masks are about in a job's description. */
interface Sized {
  readonly command: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly mask: ReadonlyArray<string>
  readonly stdin:
    | "null"
    | "pipe"
    | { readonly text: string }
    | { readonly base64: string }
    | { readonly file: string }
  readonly delay?: unknown
  readonly startAt?: unknown
}

interface Shown {
  readonly cwd: string
  readonly stdin: Sized["stdin"]
  readonly tags: ReadonlyArray<string>
  readonly group?: string | undefined
  readonly idempotencyKey?: string | undefined
  readonly notifications: ReadonlyArray<
    { readonly on: "end" | { readonly output: string } } & (
      | { readonly command: ReadonlyArray<string> }
      | { readonly file: string }
    )
  >
}

const inputBytes = (stdin: Sized["stdin"]): number =>
  typeof stdin === "string"
    ? 0
    : "text" in stdin
      ? Buffer.byteLength(stdin.text)
      : "base64" in stdin
        ? Math.floor(stdin.base64.length * 0.75)
        : 0

/** What is too much in a decoded description. */
export const complaints = (spec: Sized) => {
  const sum = (texts: ReadonlyArray<string>) =>
    texts.reduce((bytes, text) => bytes + Buffer.byteLength(text) + 1, 0)
  const bytes =
    sum(spec.command) + sum(Object.entries(spec.env).flat()) + sum(spec.mask) + inputBytes(spec.stdin)
  const found: Array<{ readonly path: ReadonlyArray<string>; readonly message: string }> = []
  if (spec.command.length > commandItems)
    found.push({ path: ["command"], message: `expected at most ${commandItems} elements` })
  if (Object.keys(spec.env).length > variables)
    found.push({ path: ["env"], message: `expected at most ${variables} variables` })
  if (spec.mask.length > variables)
    found.push({ path: ["mask"], message: `expected at most ${variables} names` })
  if (bytes > totalBytes)
    found.push({
      path: [],
      message: `expected command, env, mask and stdin to have at most ${totalBytes} bytes together; put large data into a file`,
    })
  if (spec.delay !== undefined && spec.startAt !== undefined)
    found.push({ path: ["startAt"], message: "expected either delay or startAt, not both" })
  return found
}

/**
 * The fields that are shown as they stand, because the queue, the lists and the notifications go by them, and in which
 * a masked value occurs all the same.
 */
export const exposed = (spec: Shown, redact: Mask.Redact): ReadonlyArray<Issue> => {
  const texts: Array<readonly [string, string | undefined]> = [
    ["cwd", spec.cwd],
    ["group", spec.group],
    ["idempotencyKey", spec.idempotencyKey],
    ["stdin.file", typeof spec.stdin === "object" && "file" in spec.stdin ? spec.stdin.file : undefined],
    ...spec.tags.map((tag, index) => [`tags[${index}]`, tag] as const),
  ]
  for (const [index, notification] of spec.notifications.entries()) {
    const at = `notifications[${index}]`
    if (notification.on !== "end") texts.push([`${at}.on.output`, notification.on.output])
    if ("file" in notification) texts.push([`${at}.file`, notification.file])
    else
      for (const [item, part] of notification.command.entries()) texts.push([`${at}.command[${item}]`, part])
  }
  return texts.flatMap(([field, text]) =>
    text === undefined || redact(text) === text
      ? []
      : [
          {
            field,
            value: redact(text),
            allowed: "expected a text that no value of a masked variable occurs in",
          },
        ],
  )
}
