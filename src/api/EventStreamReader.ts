/** Reads server-sent events. */
import { StringDecoder } from "node:string_decoder"

/** One server-sent event. */
export interface ServerEvent {
  readonly event: string
  /** Of this event, or the last one before it that had any. */
  readonly id: string | undefined
  readonly data: string
}

/** Turns the bytes of a stream of events into events, whatever pieces they come in. */
export class EventStreamReader {
  /** Where the stream was after all that is whole, with or without an event: what to go on with. */
  id: string | undefined
  private readonly decoder = new StringDecoder("utf8")
  private rest = ""
  private event = "message"
  private nextId: string | undefined
  private data: Array<string> = []

  /** The events that are whole after these bytes. */
  push(bytes: Uint8Array): ReadonlyArray<ServerEvent> {
    // What comes in small pieces must not be looked through again with each of them.
    const text = this.decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    const found: Array<ServerEvent> = []
    let from = 0
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", from)) {
      this.line((this.rest + text.slice(from, end)).replace(/\r$/, ""), found)
      this.rest = ""
      from = end + 1
    }
    this.rest += text.slice(from)
    return found
  }

  private line(line: string, found: Array<ServerEvent>): void {
    if (line === "") {
      this.id = this.nextId
      if (this.data.length > 0) found.push({ event: this.event, id: this.id, data: this.data.join("\n") })
      this.event = "message"
      this.data = []
      return
    }
    const colon = line.indexOf(":")
    const name = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1)
    if (name === "data") this.data.push(value)
    else if (name === "event") this.event = value
    else if (name === "id") this.nextId = value
  }
}
