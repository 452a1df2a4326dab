import { describe, expect, it } from "vitest"
import * as Screen from "../../../src/cli/foreground/Screen.js"
import type { Sink } from "../../../src/cli/World.js"

const plain = (_colour: string, text: string) => text

/** A sink that takes what it is offered when it is told to. */
const slow = (columns?: number) => {
  const taken: Array<string> = []
  const waiting: Array<(isTaken: boolean) => void> = []
  const state = { isStuck: false, isBroken: false }
  const sink: Sink = {
    write: async () => {},
    endure: () => {},
    offer: (data) =>
      new Promise((resolve) => {
        const take = () => {
          if (!state.isBroken) taken.push(String(data))
          resolve(!state.isBroken)
        }
        if (state.isStuck) waiting.push(take)
        else take()
      }),
    settled: async () => true,
    isTerminal: columns !== undefined,
    columns: () => columns ?? Infinity,
  }
  const release = () => {
    state.isStuck = false
    for (const take of waiting.splice(0)) take(true)
  }
  return { sink, state, release, text: () => taken.join("") }
}

const erase = "\r\u001B[K"

describe("Screen", () => {
  it("keeps data and words apart, each in its order", async () => {
    const [out, err] = [slow(), slow()]
    const screen = Screen.make({ env: {}, out: out.sink, err: err.sink }, plain, () => "never shown")
    screen.say("one\n")
    expect(await screen.print("1\n")).toBe(true)
    screen.say("two\n")
    expect(await screen.print("2\n")).toBe(true)
    expect(await screen.end(1_000)).toBe(true)
    expect({ out: out.text(), err: err.text() }).toEqual({ out: "1\n2\n", err: "one\ntwo\n" })
  })

  it("does not let a stuck reader of the data hold up the words", async () => {
    const [out, err] = [slow(), slow()]
    const screen = Screen.make({ env: {}, out: out.sink, err: err.sink }, plain, () => "")
    out.state.isStuck = true
    const printed = screen.print("1\n")
    screen.say("one\n")
    expect(err.text()).toBe("one\n")
    expect(await screen.end(10)).toBe(false)
    out.release()
    expect(await printed).toBe(true)
  })

  it("says whether data was taken", async () => {
    const [out, err] = [slow(), slow()]
    const screen = Screen.make({ env: {}, out: out.sink, err: err.sink }, plain, () => "")
    out.state.isBroken = true
    expect(await screen.print("1\n")).toBe(false)
    await screen.end(0)
  })

  it("leaves words out when nobody takes them, and tells how many", async () => {
    const [out, err] = [slow(), slow()]
    const screen = Screen.make({ env: {}, out: out.sink, err: err.sink }, plain, () => "")
    err.state.isStuck = true
    for (let count = 0; count < 1_234; count++) screen.say(`${count}\n`)
    err.release()
    await screen.end(1_000)
    screen.say("last\n")
    await screen.end(1_000)
    expect(err.text().split("\n")).toHaveLength(1_003)
    expect(err.text()).toMatch(/\n999\n234 messages could not be shown\.\nlast\n$/)
  })

  it("keeps a line at the bottom of a terminal, below data and words", async () => {
    const tty = slow(20)
    let line = ""
    const screen = Screen.make({ env: {}, out: tty.sink, err: tty.sink }, plain, () => line)
    await screen.print("1\n")
    line = "3 of 5 up · and much more than fits"
    screen.say("one\n")
    await screen.print("2\n")
    expect(tty.text()).toBe(`1\none\n3 of 5 up · and mu…${erase}2\n3 of 5 up · and mu…`)
    expect(await screen.end(1_000)).toBe(true)
    expect(tty.text()).toBe(`1\none\n3 of 5 up · and mu…${erase}2\n3 of 5 up · and mu…${erase}`)
  })

  it("draws no line on a terminal that cannot take it away again", async () => {
    const tty = slow(80)
    const world = { env: { TERM: "dumb" }, out: tty.sink, err: tty.sink }
    const screen = Screen.make(world, plain, () => "line")
    screen.say("one\n")
    await screen.end(1_000)
    expect(tty.text()).toBe("one\n")
  })
})
