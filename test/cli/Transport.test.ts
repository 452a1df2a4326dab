import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import { describe, expect, it } from "vitest"
import * as Transport from "../../src/cli/Transport.js"
import { scratch } from "./support.js"

const serving = async (listener: http.RequestListener, socket?: string) => {
  const server = http.createServer(listener)
  await new Promise<void>((resolve) =>
    socket === undefined ? server.listen(0, "127.0.0.1", resolve) : server.listen(socket, resolve),
  )
  const address =
    socket === undefined ? `http://127.0.0.1:${(server.address() as AddressInfo).port}` : `unix:${socket}`
  return {
    place: { root: "/r", address, token: "secret" },
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

const eventsOf = async (place: Transport.Place) => {
  const events: Array<Transport.ServerEvent> = []
  const answer = await Transport.send(place, { method: "GET", path: "/" })
  for await (const event of Transport.eventsOf(place, answer)) events.push(event)
  return events
}

describe("send", () => {
  it("speaks over a socket, with the token", async () => {
    using directory = scratch()
    await using server = await serving(
      (request, response) => void response.end(`${request.headers.authorization} ${request.url}`),
      path.join(directory.directory, "s"),
    )
    const answer = await Transport.send(server.place, { method: "GET", path: "/a?b=c" })
    expect(await Transport.textOf(server.place, answer)).toBe("Bearer secret /a?b=c")
  })

  it("names what is wrong", async () => {
    const place = { root: "/r", address: "unix:/nonexistent/s", token: undefined }
    await expect(Transport.send(place, { method: "GET", path: "/" })).rejects.toMatchObject({
      message: "The daemon at unix:/nonexistent/s cannot be reached: its socket is not there.",
      code: "unreachable",
      reason: "ENOENT",
      retryable: true,
    })
  })

  it("does not wait for ever", async () => {
    await using server = await serving(() => {})
    await expect(
      Transport.send(server.place, { method: "GET", path: "/", patience: 50 }),
    ).rejects.toMatchObject({ reason: "ETIMEDOUT" })
  })

  it("knows a body that was cut", async () => {
    await using server = await serving((_request, response) => {
      response.writeHead(200, { "content-length": 10 })
      response.write("12345", () => response.destroy())
    })
    const answer = await Transport.send(server.place, { method: "GET", path: "/" })
    await expect(Transport.textOf(server.place, answer)).rejects.toMatchObject({ reason: "ECONNRESET" })
  })
})

describe("eventsOf", () => {
  it("reads events, however they are cut", async () => {
    const text = Buffer.from(
      ': hello\nretry: 10\n\nid: 1\nevent: output\ndata: {"a":"é"}\n\ndata:x\ndata: y\r\n\r\nevent: none\n\n',
    )
    for (const size of [1, 2, 7, 1_000]) {
      await using server = await serving((_request, response) => {
        void (async () => {
          for (let at = 0; at < text.length; at += size) {
            await new Promise((resolve) => response.write(text.subarray(at, at + size), resolve))
          }
          response.end()
        })()
      })
      expect(await eventsOf(server.place)).toEqual([
        { event: "output", id: "1", data: '{"a":"é"}' },
        { event: "message", id: undefined, data: "x\ny" },
      ])
    }
  })

  it("tells an end from a cut", async () => {
    await using server = await serving((_request, response) => {
      response.write("data: x\n\n", () => response.destroy())
    })
    await expect(eventsOf(server.place)).rejects.toMatchObject({ reason: "ECONNRESET" })
  })
})
