import { describe, expect, it } from "vitest"
import * as Output from "../../../src/cli/Output.js"
import * as Sessions from "../../../src/cli/Session.js"
import type { Script } from "../support.js"
import { daemon, event, eventStream, exited, id, refusal, run, start } from "../support.js"

const ends = {
  type: "tail",
  job_id: id,
  stdout_tail: "out\n",
  stderr_tail: "err\n",
  attempt: 2,
  stdout_next_offset: 104,
  stderr_next_offset: 204,
}

const output = (offset: number, text: string, bytes = Buffer.byteLength(text)) =>
  event(
    "output",
    { attempt: 2, stream: "stdout", offset, next_offset: offset + bytes, text },
    `2:${offset + bytes}:204`,
  )

const piece = (query: Readonly<Record<string, unknown>>, all: Buffer) => {
  const offset = Number(query["offset"])
  const bytes = all.subarray(offset, offset + Math.min(3, Number(query["max_bytes"])))
  const next_offset = offset + bytes.length
  const eof = next_offset === all.length
  const stream = query["stream"]
  return {
    type: "log",
    job_id: id,
    stream,
    attempt: 2,
    offset,
    next_offset,
    eof,
    base64: bytes.toString("base64"),
  }
}

const logOf =
  (all: Buffer): NonNullable<Script["log"]> =>
  ({ query }) =>
    piece(query, all)

describe("tail", () => {
  it("shows the ends of both logs, each where it belongs", async () => {
    await using server = await daemon({ tail: () => ends })
    expect(await run(["tail", id], server)).toMatchObject({ code: 0, out: "out\n", err: "err\n" })
    expect(server.asked[0]!.query).toEqual({ lines: "50" })
  })

  it("shows what is asked for", async () => {
    await using server = await daemon({ tail: () => ends })
    const args = ["tail", id, "-n", "3", "--attempt", "1", "--stream", "stderr"]
    expect(await run(args, server)).toMatchObject({ code: 0, out: "", err: "err\n" })
    expect(server.asked[0]!.query).toEqual({ lines: "3", attempt: "1" })
  })

  it("prints the envelope with --json", async () => {
    await using server = await daemon({ tail: () => ends })
    expect(JSON.parse((await run(["tail", id, "--json"], server)).out)).toMatchObject(ends)
  })

  it("goes on where the end was", async () => {
    await using server = await daemon({
      tail: () => ends,
      follow: () => eventStream([output(104, "more\n"), event("end", exited)]),
    })
    expect(await run(["tail", "-f", "01HZ"], server)).toMatchObject({
      code: 0,
      out: "out\nmore\n",
      err: "err\n",
    })
    expect(server.asked[1]).toMatchObject({
      name: "follow",
      id,
      query: { attempt: "2", stdout_offset: "104", stderr_offset: "204" },
    })
  })

  it("waits for the first attempt of a job that has not started", async () => {
    await using server = await daemon({
      tail: () => ({ ...ends, stdout_tail: "", stderr_tail: "", attempt: 0 }),
      follow: () => eventStream([event("end", exited)]),
    })
    expect(await run(["tail", "-f", id], server)).toMatchObject({ code: 0 })
    expect(server.asked[1]!.query).toEqual({})
  })
})

describe("logs", () => {
  it("gives all of both logs, byte by byte", async () => {
    const all = Buffer.from([0, 255, 254, 10, 0xe4, 0xb8, 0xad, 13])
    await using server = await daemon({
      log: ({ query }) => piece(query, query["stream"] === "stdout" ? all : Buffer.from("err")),
    })
    const { bytes, code, err } = await run(["logs", id], server)
    expect({ code, err }).toEqual({ code: 0, err: "err" })
    expect(bytes).toEqual(all)
    // What the first answer said of the attempt holds for all that follow.
    expect(server.asked.map(({ query }) => query["attempt"])).toEqual([undefined, "2", "2", "2"])
  })

  it("gives one stream of one attempt", async () => {
    await using server = await daemon({ log: logOf(Buffer.from("x")) })
    expect(await run(["logs", id, "--stream", "stderr", "--attempt", "1"], server)).toMatchObject({
      out: "",
      err: "x",
    })
    expect(server.asked[0]!.query).toMatchObject({ stream: "stderr", attempt: "1" })
  })

  it("prints an envelope for each piece with --json", async () => {
    await using server = await daemon({ log: logOf(Buffer.from("12345")) })
    const { out } = await run(["logs", id, "--json", "--stream", "stdout"], server)
    expect(
      out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { type: "log", offset: 0, next_offset: 3 },
      { type: "log", offset: 3, next_offset: 5 },
    ])
  })

  it("fetches the bytes of what was no text", async () => {
    const all = Buffer.from([65, 0xff, 66, 10])
    await using server = await daemon({
      log: ({ query }) => piece(query, query["stream"] === "stdout" ? all : Buffer.alloc(0)),
      follow: () => eventStream([output(0, "A\uFFFDB\n", 4), event("end", exited)]),
    })
    const { bytes } = await run(["logs", "-f", id, "--stream", "stdout"], server)
    expect(bytes).toEqual(Buffer.concat([all, all]))
  })

  it("tells a refusal", async () => {
    await using server = await daemon({
      log: () => refusal(409, "ambiguous_job_id", "Several jobs begin with 01."),
    })
    expect(await run(["logs", "01"], server)).toMatchObject({
      code: 1,
      err: "holdfast: Several jobs begin with 01.\n",
    })
  })
})

describe("following over a restart of the daemon", () => {
  it("goes on exactly where it was, and says so once", async () => {
    let times = 0
    await using server = await daemon({
      tail: () => ({ ...ends, stdout_tail: "", stderr_tail: "" }),
      follow: () =>
        ++times === 1
          ? eventStream([output(104, "one\n"), output(108, "two\n")], true)
          : eventStream([output(112, "three\n"), event("end", exited)]),
    })
    const running = start(["tail", "-f", id], server)
    const { code, err, out } = await running.done
    expect({ code, out }).toEqual({ code: 0, out: "one\ntwo\nthree\n" })
    expect(err).toBe(
      "The daemon is gone; jobs are not affected. Waiting for it to come back...\nThe daemon is back.\n",
    )
    const follows = server.asked.filter(({ name }) => name === "follow")
    expect(follows.map(({ headers }) => headers["last-event-id"])).toEqual([undefined, "2:112:204"])
  })

  it("finds the next daemon at another address", async () => {
    let times = 0
    await using server = await daemon({
      tail: () => ({ ...ends, stdout_tail: "", stderr_tail: "" }),
      follow: () =>
        ++times === 1
          ? eventStream([output(104, "one\n")])
          : eventStream([output(108, "two\n"), event("end", exited)]),
    })
    const running = start(["tail", "-f", id], server)
    await running.out.until(/one/)
    await server.stop()
    await running.err.until(/Waiting/)
    await server.listen()
    expect(await running.done).toMatchObject({ code: 0, out: "one\ntwo\n" })
  })

  it("gives up after its patience and says how to start a daemon", async () => {
    await using server = await daemon({ follow: () => eventStream([output(0, "x")], true) })
    const { err, world } = start(["--version"], server)
    const session = Sessions.make({ root: server.root, world, patience: 100 })
    const taken: Array<string> = []
    const take = async (_stream: string, bytes: Uint8Array) => {
      taken.push(Buffer.from(bytes).toString())
      await server.stop()
    }
    await expect(Output.follow(session, id, {}, take)).rejects.toMatchObject({
      message: `The daemon for ${server.root} did not come back within 0 s. Jobs go on without it; start one: holdfast serve`,
      retryable: true,
    })
    expect(taken).toEqual(["x"])
    expect(err.text().match(/Waiting/g)).toHaveLength(1)
  })
})
