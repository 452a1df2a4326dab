/** What a request asks for, and of whom. */
import type { IncomingHttpHeaders, IncomingMessage } from "node:http"

/** The target of a request, in its parts. */
export interface RequestTarget {
  readonly path: string
  /** With the `?`, or empty. */
  readonly search: string
  /** The Host is that of the target, where it names one: the header does not count then. */
  readonly headers: IncomingHttpHeaders
}

/** How many Host headers a request has: Node keeps the first. */
export const hosts = ({ rawHeaders }: IncomingMessage): number => {
  let count = 0
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!
    if (name.length === 4 && name.toLowerCase() === "host") count++
  }
  return count
}

/** Reads `/jobs?limit=1`, and `http://127.0.0.1:19263/jobs?limit=1`, which proxies are sent. */
export const read = ({ headers, url = "/" }: IncomingMessage): RequestTarget => {
  const [whole, host] = url.startsWith("/") ? [] : (/^http:\/\/([^/?]*)/i.exec(url) ?? [])
  const target = whole === undefined ? url : url.slice(whole.length)
  const mark = target.indexOf("?")
  const path = mark === -1 ? target : target.slice(0, mark)
  return {
    path: path === "" ? "/" : path,
    search: mark === -1 ? "" : target.slice(mark),
    headers: host === undefined ? headers : { ...headers, host },
  }
}
