import { Writable } from "node:stream"
import { describe, expect, it } from "vitest"
import { sinkOf } from "../../src/cli/Terminal.js"

/** A stream that can be stuck or broken. */
const fake = () => {
  const taken: Array<string> = []
  const state: { error: Error | undefined; stuck: boolean; release: () => void } = {
    error: undefined,
    stuck: false,
    release: () => {},
  }
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      const finish = () => {
        if (state.error === undefined) taken.push(chunk.toString())
        done(state.error)
      }
      if (state.stuck) state.release = finish
      else finish()
    },
  })
  // As it is with the streams of a process, an error is not the end of it.
  stream._destroy = (error, done) => {
    done(error)
    ;(stream as unknown as { readonly _undestroy: () => void })._undestroy()
  }
  return { state, stream: stream as unknown as NodeJS.WriteStream, text: () => taken.join("") }
}

const note = (dropped: number) => `${dropped} dropped\n`

describe("a sink that endures", () => {
  it("does not wait for a stuck reader, and keeps no more than a bit for it", async () => {
    const { state, stream, text } = fake()
    const sink = sinkOf(stream)
    sink.endure(note)
    state.stuck = true
    await sink.write("first\n")
    const line = `${"x".repeat(1_023)}\n`
    for (let count = 0; count < 1_000; count++) await sink.write(line)
    expect(await sink.settled(10)).toBe(false)
    expect(stream.writableLength).toBeLessThan(10)
    state.stuck = false
    state.release()
    expect(await sink.settled(5_000)).toBe(true)
    await sink.write("last\n")
    expect(await sink.settled(5_000)).toBe(true)
    const kept = text().split(line).length - 1
    expect(kept).toBe(255)
    expect(text()).toMatch(/^first\n/)
    expect(text()).toContain(`${1_000 - kept} dropped\n`)
    expect(text()).toMatch(/\nlast\n$/)
  })

  it("outlives a failure that is thrown at once, and says what is missing", async () => {
    const taken: Array<string> = []
    let isFull = true
    const { stream } = fake()
    stream.write = ((data: Uint8Array, done: () => void) => {
      if (isFull) throw Object.assign(new Error("full"), { code: "ENOSPC" })
      taken.push(Buffer.from(data).toString())
      done()
      return true
    }) as never
    const sink = sinkOf(stream)
    sink.endure(note)
    for (const word of ["a", "b", "c"]) {
      await sink.write(word)
      expect(await sink.settled(5_000)).toBe(true)
    }
    stream.emit("error", Object.assign(new Error("full"), { code: "EPIPE" }))
    isFull = false
    await sink.write("d")
    await sink.write("e")
    expect(await sink.settled(5_000)).toBe(true)
    expect(taken.join("")).toBe("3 dropped\nde")
  })
})

describe("what is offered to a sink", () => {
  it("waits as long as its reader is stuck, and holds up the end no longer than that may take", async () => {
    const { state, stream, text } = fake()
    const sink = sinkOf(stream)
    sink.endure(note)
    state.stuck = true
    const first = sink.offer("first\n")
    expect(await sink.settled(10)).toBe(false)
    state.stuck = false
    state.release()
    expect(await first).toBe(true)
    expect(await sink.settled(5_000)).toBe(true)
    expect(text()).toBe("first\n")
  })

  it("is told to be lost when it cannot be written, and ends nothing", async () => {
    const { state, stream, text } = fake()
    const sink = sinkOf(stream)
    sink.endure(note)
    state.error = Object.assign(new Error("gone"), { code: "EPIPE" })
    expect(await sink.offer("lost\n")).toBe(false)
    state.error = undefined
    expect(await sink.offer("kept\n")).toBe(true)
    expect(text()).toBe("kept\n")
  })
})
