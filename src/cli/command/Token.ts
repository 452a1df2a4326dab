/** `token`: what the HTTP API asks for. */
import type { Handler } from "../Handler.js"
import { rootOf, tokenFile, tokenOf } from "../Root.js"
import { howToStart } from "../Client.js"
import type * as Syntaxes from "../Syntaxes.js"
import { Failure, exitCode } from "../World.js"

/** Whether a text can be a token: 32 bytes in base64url. */
export const isToken = (text: string): boolean => /^[\w-]{43}$/.test(text)

/** Prints the token of a root, or where it is kept. */
export const token: Handler<typeof Syntaxes.token> = async ({ options }, world) => {
  const root = rootOf(options.root, world)
  const path = tokenFile(root)
  const token = tokenOf(root)
  if (token === undefined) {
    throw new Failure(
      `There is no token in ${path}: the first start of a daemon makes one. Start it: ${howToStart(root, world)}`,
      "not_found",
    )
  }
  if (!isToken(token) && !options.path) {
    throw new Failure(
      `What is in ${path} is no token. Delete it; the next start of a daemon makes one.`,
      "unauthorized",
    )
  }
  const envelope = { schema_version: "1", ok: true, type: "token", token, path }
  await world.out.write(`${options.json ? JSON.stringify(envelope) : options.path ? path : token}\n`)
  return exitCode.ok
}
