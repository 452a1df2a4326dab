/** The secret that lets its owner in: a file under the root that nobody else can read. */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { codeOf, systemReason } from "../process/Diagnosis.js"

/** Where the token of a root is kept. */
export const tokenFile = (root: string): string => join(root, "token")

/** Others can read the token, or could have changed it: it is worth nothing any more. */
export class TokenExposed extends Schema.TaggedError<TokenExposed>()("TokenExposed", {
  path: Schema.String,
  /** What is wrong with it, as a part of a sentence. */
  reason: Schema.String,
}) {
  override get message(): string {
    return `The token in ${this.path} is no secret: ${this.reason}. Delete the file; the next start of the daemon makes a new one.`
  }
}

/** The token cannot be read or made. */
export class TokenUnusable extends Schema.TaggedError<TokenUnusable>()("TokenUnusable", {
  path: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `The token in ${this.path} cannot be used: ${this.reason}.`
  }
}

/** Why there is no token to use. */
export type TokenError = TokenExposed | TokenUnusable

const isToken = (text: string): boolean => /^[\w-]{43}$/.test(text)

const unusable = (path: string) => (cause: unknown) =>
  new TokenUnusable({ path, reason: `${systemReason(cause)} (${codeOf(cause)})` })

const readSync = (path: string): string | TokenError | undefined => {
  let descriptor: number
  try {
    descriptor = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
  } catch (cause) {
    return codeOf(cause) === "ENOENT" ? undefined : unusable(path)(cause)
  }
  try {
    const { mode, uid } = fs.fstatSync(descriptor)
    const own = process.getuid?.() ?? uid
    if (uid !== own && uid !== 0)
      return new TokenExposed({ path, reason: `it belongs to the user with the id ${uid}` })
    if ((mode & 0o077) !== 0)
      return new TokenExposed({
        path,
        reason: `its mode ${(mode & 0o777).toString(8)} lets other users at it`,
      })
    const buffer = Buffer.alloc(256)
    const text = buffer.toString("utf8", 0, fs.readSync(descriptor, buffer)).trim()
    return isToken(text) ? text : new TokenUnusable({ path, reason: "it holds no token" })
  } catch (cause) {
    return unusable(path)(cause)
  } finally {
    fs.closeSync(descriptor)
  }
}

/** The token of a root; undefined when none was made yet. */
export const read = (root: string): Effect.Effect<string | undefined, TokenError> =>
  Effect.suspend(() => {
    const found = readSync(tokenFile(root))
    return typeof found === "object" ? Effect.fail(found) : Effect.succeed(found)
  })

/**
 * The token of a root, which must be there; made if it has none: 32 random bytes in base64url, in a file of mode 0600
 * that appears whole, whoever else makes one at the same time.
 */
export const obtain = (root: string): Effect.Effect<string, TokenError> =>
  Effect.flatMap(read(root), (known) => (known === undefined ? create(root) : Effect.succeed(known)))

const create = (root: string): Effect.Effect<string, TokenError> =>
  Effect.suspend(() => {
    const path = tokenFile(root)
    const draft = `${path}.${process.pid}.${randomBytes(6).toString("hex")}`
    try {
      fs.writeFileSync(draft, `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600, flag: "wx" })
      // Unlike a rename it never replaces the one that somebody else has just made.
      fs.linkSync(draft, path)
    } catch (cause) {
      if (codeOf(cause) !== "EEXIST") return Effect.fail(unusable(path)(cause))
    } finally {
      fs.rmSync(draft, { force: true })
    }
    return Effect.flatMap(read(root), (made) =>
      made === undefined
        ? Effect.fail(new TokenUnusable({ path, reason: "it was deleted as soon as it was made" }))
        : Effect.succeed(made),
    )
  })
