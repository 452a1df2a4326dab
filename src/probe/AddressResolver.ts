/** Names to addresses: a seam, so that a test or an app can answer for names itself. */
import dns from "node:dns"
import { isIP } from "node:net"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** A name that could not be turned into addresses. */
export class NameNotResolved extends Schema.TaggedError<NameNotResolved>()("NameNotResolved", {
  host: Schema.String,
  /** The resolver's own word: `ENOTFOUND`, `EAI_AGAIN`. */
  code: Schema.String,
}) {
  override get message(): string {
    return `The name "${this.host}" could not be resolved (${this.code}).`
  }
}

/** All addresses of a name, in the order in which they are to be tried. */
export type Resolve = (host: string) => Effect.Effect<ReadonlyArray<string>, NameNotResolved>

type Answer = Effect.Effect<ReadonlyArray<string>, NameNotResolved>

/** Who waits for a lookup under way, by name. */
const underWay = new Map<string, Set<(answer: Answer) => void>>()

/**
 * The system's resolver: every address, in the system's order. `localhost` is the loopback addresses even where the
 * system does not know the name (RFC 6761). A lookup under way cannot be cancelled, and few run at a time: whoever
 * asks for the same name meanwhile gets its answer, so that checks of a name whose server is mute do not pile up.
 */
export const system: Resolve = (host) =>
  Effect.async((resume) => {
    const joined = underWay.get(host)
    const waiting = joined ?? new Set()
    const leave = Effect.sync(() => waiting.delete(resume))
    waiting.add(resume)
    if (joined !== undefined) return leave
    underWay.set(host, waiting)
    dns.lookup(host, { all: true, verbatim: true }, (error, found) => {
      underWay.delete(host)
      const addresses = error === null ? [...new Set(found.map(({ address }) => address))] : []
      const answer: Answer =
        addresses.length > 0
          ? Effect.succeed(addresses)
          : host.toLowerCase() === "localhost"
            ? Effect.succeed(["127.0.0.1", "::1"])
            : Effect.fail(new NameNotResolved({ host, code: error?.code ?? "ENODATA" }))
      for (const tell of waiting) tell(answer)
    })
    return leave
  })

/** Used by every probe that connects. The default is {@link system}; addresses written as such are never looked up. */
export class AddressResolver extends Context.Reference<AddressResolver>()("holdfast/probe/AddressResolver", {
  defaultValue: (): Resolve => system,
}) {}

/** Whether the text is an address and needs no lookup. */
export const isAddress = (host: string): boolean => isIP(host) !== 0
