/** The part of a URL that says where to: a host, and a port. */

/** A host without the brackets that an IPv6 address has in a URL: `::1` for `[::1]`. */
export const bare = (host: string): string => host.replace(/^\[(.*)\]$/, "$1")

/** A host as a URL has it: `[::1]` for `::1`, and for what has its brackets already. */
export const bracketed = (host: string): string =>
  host.includes(":") && !host.startsWith("[") ? `[${host}]` : host

/** The port of an `http` or `https` URL: where it names none, 80 or 443. */
export const portOf = ({ port, protocol }: URL): number =>
  port === "" ? (protocol === "https:" ? 443 : 80) : Number(port)
