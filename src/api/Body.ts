/** Reads the body of a request: not more of it than is allowed, and not for ever. */
import type { IncomingMessage } from "node:http"
import * as ApiError from "./ApiError.js"

/** The most bytes that a body may have: 1 MiB. */
const mostBytes = 1_048_576

/** Whether a request brings a body, which may turn out to be empty. */
export const isPresent = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined ||
  (headers["content-length"] !== undefined && headers["content-length"] !== "0")

/** Why a body cannot be taken, by its headers alone; or undefined. */
export const refusal = ({ headers }: IncomingMessage): ApiError.ApiError | undefined => {
  const type = headers["content-type"] ?? ""
  if (!/^application\/json\s*(?:;\s*charset="?utf-8"?\s*)?;?$/i.test(type.trim()))
    return ApiError.make(
      "invalid_request",
      "The request body must be JSON: send it with 'Content-Type: application/json'.",
      { status: 415 },
    )
  if (headers["content-encoding"] !== undefined && headers["content-encoding"] !== "identity")
    return ApiError.make("invalid_request", "The request body must not be compressed.", { status: 415 })
  return Number(headers["content-length"] ?? 0) > mostBytes ? tooLarge() : undefined
}

const tooLarge = () =>
  ApiError.make(
    "payload_too_large",
    `The request body has more than ${mostBytes} bytes; put large data into a file.`,
  )

/**
 * Reads the whole body and calls `done` once: with the bytes, or why they are not to be had. What is too large is not
 * kept. Nothing is called when the connection is lost meanwhile.
 *
 * @param patience how long nothing may come, in milliseconds
 */
export const read = (
  request: IncomingMessage,
  patience: number,
  done: (body: Uint8Array | ApiError.ApiError) => void,
): void => {
  const chunks: Array<Buffer> = []
  let size = 0
  const settle = (body: Uint8Array | ApiError.ApiError) => {
    clearTimeout(timer)
    request.off("data", onData).off("end", onEnd).off("close", onClose)
    done(body)
  }
  const timer = setTimeout(
    () => settle(ApiError.make("request_timeout", "The request body did not arrive in time.")),
    patience,
  )
  const onData = (chunk: Buffer) => {
    size += chunk.length
    if (size > mostBytes) return settle(tooLarge())
    timer.refresh()
    chunks.push(chunk)
  }
  const onEnd = () => settle(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))
  const onClose = () => clearTimeout(timer)
  request.on("data", onData).on("end", onEnd).on("close", onClose)
}
