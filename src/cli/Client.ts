/** Calls of the API by name, to the daemon of a root. */
import { isAlive, ownerOf, rootOption, tokenOf } from "./Root.js"
import type { Answer as Answered, Given, Name } from "./Routes.js"
import { requestOf } from "./Routes.js"
import type { Answer, Place, Request } from "./Transport.js"
import { Unreachable, send, textOf } from "./Transport.js"
import type { World } from "./World.js"
import { Failure } from "./World.js"

/** The daemon's refusal. */
export class Refused extends Failure {
  override readonly name = "Refused"
  constructor(
    message: string,
    code: string,
    retryable: boolean,
    readonly status: number,
    /** The body as it came. */
    readonly body: string,
  ) {
    super(message, code, retryable)
  }
}

/** An answer, and the text that it came as. */
export interface Reply<N extends Name> {
  readonly value: Answered<N>
  readonly text: string
}

/** How long to wait for an answer, and when to give it up. */
export type CallOptions = Pick<Request, "patience" | "signal" | "headers">

/** A daemon to talk to. */
export interface Client {
  readonly place: Place
  readonly call: <N extends Name>(name: N, given: Given<N>, options?: CallOptions) => Promise<Reply<N>>
  /** For answers that are read piece by piece. */
  readonly open: <N extends Name>(name: N, given: Given<N>, options?: CallOptions) => Promise<Answer>
}

/** How to start a daemon, for those who have none. */
export const howToStart = (root: string, world: Pick<World, "cwd" | "env">): string =>
  `holdfast serve${rootOption(root, world)}`

/** Where the daemon of a root says that it answers; throws `Unreachable` when there is none. */
export const placeOf = (root: string, world: Pick<World, "cwd" | "env">): Place => {
  const owner = ownerOf(root)
  // Whoever has the address of a dead daemon now is not to be sent its token.
  if (owner?.address === undefined || !isAlive(owner)) {
    throw new Unreachable(`No daemon is running for ${root}. Start one: ${howToStart(root, world)}`, "ENOENT")
  }
  return { root, address: owner.address, token: tokenOf(root) }
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const refusal = (place: Place, status: number, body: string): Refused => {
  const { error } = (parse(body) ?? {}) as {
    readonly error?: { readonly code?: unknown; readonly message?: unknown; readonly retryable?: unknown }
  }
  return typeof error?.message === "string" && typeof error.code === "string"
    ? new Refused(error.message, error.code, error.retryable === true, status, body)
    : new Refused(
        `What answers at ${place.address} is no daemon of this version: it said ${status} to a request.`,
        "internal_error",
        false,
        status,
        body,
      )
}

/** What every good answer of a daemon has; whatever else answers at the place of one that is gone has not. */
const isEnvelope = (value: unknown): boolean => {
  const { ok, schema_version, type } = (value ?? {}) as Readonly<Record<string, unknown>>
  return ok === true && schema_version === "1" && typeof type === "string"
}

/** A client of the daemon that is at a place. */
export const at = (place: Place, { routes }: Pick<World, "routes">): Client => {
  const open: Client["open"] = async (name, given, options = {}) => {
    const answer = await send(place, { ...requestOf(routes, name, given), ...options })
    if (answer.status >= 200 && answer.status < 300) return answer
    throw refusal(place, answer.status, await textOf(place, answer))
  }
  return {
    place,
    open,
    call: async (name, given, options) => {
      const answer = await open(name, given, options)
      const text = await textOf(place, answer)
      const value = parse(text)
      if (!isEnvelope(value)) throw refusal(place, answer.status, text)
      return { value: value as Answered<typeof name>, text }
    },
  }
}

/** A client of the daemon of a root. */
export const connect = (root: string, world: World): Client => at(placeOf(root, world), world)
