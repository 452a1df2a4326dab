/** Answers to what never becomes a request: they are written to the connection, which is closed then. */
import type { Server } from "node:http"
import type { Duplex } from "node:stream"
import * as ApiError from "./ApiError.js"

const faults: Readonly<Record<string, readonly [number, ApiError.ErrorCode, string]>> = {
  HPE_HEADER_OVERFLOW: [431, "invalid_request", "The headers of the request are too large."],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "request_timeout", "The request did not arrive in time."],
}

const write = (socket: Duplex, error: ApiError.ApiError, headers: ReadonlyArray<string> = []): void => {
  const text = JSON.stringify(ApiError.envelope(error))
  const lines = [
    `HTTP/1.1 ${error.status} ${error.code}`,
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(text)}`,
    ...headers,
  ]
  socket.end(`${lines.join("\r\n")}\r\n\r\n${text}`, () => socket.destroy())
}

/** Makes a server answer what is no HTTP, what does not become any in time, and who takes it for a proxy. */
export const attach = (server: Server): void => {
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy()
    const [status, code, message] = faults[error.code ?? ""] ?? [
      400,
      "invalid_request" as const,
      "The request is not HTTP.",
    ]
    write(socket, ApiError.make(code, message, { status }))
  })
  server.on("connect", (_request, socket) => {
    // Nobody else listens for the faults of this connection any more, and one of them would end the program.
    socket.on("error", () => socket.destroy())
    write(socket, ApiError.make("method_not_allowed", "There is no CONNECT here; this is no proxy."), [
      "Allow: GET, HEAD, POST, PUT, DELETE",
    ])
  })
}
