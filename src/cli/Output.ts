/** The output of a job, whole or as it comes, byte by byte. */
import type { Session } from "./Session.js"
import type { Answer } from "./Routes.js"
import type { Client } from "./Client.js"
import { Unreachable, eventsOf } from "./Transport.js"

/** One of a job's two logs. */
export type StreamName = "stdout" | "stderr"

/** Takes output. */
export type Taker = (stream: StreamName, bytes: Uint8Array) => Promise<void>

/** As many bytes as are asked for at once. */
const pieceBytes = 4_194_304

/** What a piece of a log holds. */
const bytesOf = ({ base64, text }: Answer<"log">): Buffer =>
  base64 === undefined ? Buffer.from(text ?? "", "utf8") : Buffer.from(base64, "base64")

/** Reads a log from an offset to its present end. */
export const readAll = async (
  session: Session,
  id: string,
  log: { readonly stream: StreamName; readonly attempt?: number | undefined },
  take: (bytes: Buffer, answer: { readonly value: Answer<"log">; readonly text: string }) => Promise<void>,
): Promise<{ readonly offset: number; readonly attempt: number }> => {
  let [offset, attempt] = [0, log.attempt]
  for (;;) {
    const query = { stream: log.stream, offset, max_bytes: pieceBytes, attempt, encoding: "base64" as const }
    const reply = await session.persist((client) =>
      client.call("log", { path: { id }, query: defined(query) }),
    )
    // A retry that begins meanwhile would have another log.
    attempt = reply.value.attempt > 0 ? reply.value.attempt : attempt
    offset = reply.value.next_offset
    await take(bytesOf(reply.value), reply)
    if (reply.value.eof) return { offset, attempt: attempt ?? 0 }
  }
}

/** Without what is undefined, which `exactOptionalPropertyTypes` tells from what is absent. */
export const defined = <A extends object>(fields: A): { [K in keyof A]: Exclude<A[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof A]: Exclude<A[K], undefined>
  }

/** Where to follow from. */
export interface From {
  readonly stream?: StreamName | undefined
  readonly attempt?: number | undefined
  readonly stdoutOffset?: number | undefined
  readonly stderrOffset?: number | undefined
}

interface OutputEvent {
  readonly attempt: number
  readonly stream: StreamName
  readonly offset: number
  readonly next_offset: number
  readonly text: string
}

/** An event as it came. */
export interface Seen {
  readonly event: string
  readonly data: string
}

const exactly = async (client: Client, id: string, event: OutputEvent): Promise<Uint8Array> => {
  // Text is exact unless something in it was no text, for which this character stands.
  if (!event.text.includes("\uFFFD")) return Buffer.from(event.text, "utf8")
  const pieces: Array<Buffer> = []
  for (let offset = event.offset; offset < event.next_offset;) {
    const query = {
      stream: event.stream,
      offset,
      max_bytes: event.next_offset - offset,
      attempt: event.attempt,
    }
    const { value } = await client.call("log", { path: { id }, query: { ...query, encoding: "base64" } })
    if (value.next_offset <= offset) break
    pieces.push(bytesOf(value))
    offset = value.next_offset
  }
  return Buffer.concat(pieces)
}

/** Gives the output as it comes until the job has ended and all was given; goes on where it was after a loss. */
export const follow = async (
  session: Session,
  id: string,
  from: From,
  take: Taker,
  onEvent: (event: Seen) => Promise<void> = async () => {},
  signal?: AbortSignal,
): Promise<void> => {
  let last: string | undefined
  const query = defined({
    stream: from.stream,
    attempt: from.attempt,
    stdout_offset: from.stdoutOffset,
    stderr_offset: from.stderrOffset,
  })
  await session.persist(async (client) => {
    const headers = { accept: "text/event-stream", ...(last === undefined ? {} : { "last-event-id": last }) }
    const answer = await client.open("follow", { path: { id }, query }, { headers, patience: 0, signal })
    try {
      for await (const { data, event, id: place } of eventsOf(client.place, answer)) {
        if (event === "output") {
          const output = JSON.parse(data) as OutputEvent
          await take(output.stream, await exactly(client, id, output))
        }
        // Only now: what was not given yet has to come again after a loss.
        last = place ?? last
        await onEvent({ event, data })
        if (event === "end") return
      }
    } finally {
      answer.body.destroy()
    }
    throw new Unreachable(`The daemon at ${client.place.address} has ended.`, "ECONNRESET")
  })
}
