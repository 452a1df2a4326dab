import { spawnSync } from "node:child_process"
import { connect } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PortHolder from "../../src/probe/PortHolder.js"
import * as Spawner from "../../src/process/ProcessSpawner.js"
import { eventually } from "../process/support.js"
import { freePort, silent, tcpServer } from "./support.js"
import { spawnServer } from "./servers.js"

const isLinux = process.platform === "linux"

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:8D5D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5709 1 0000 100 0 0 10 0
   1: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1603 1 0000 100 0 0 10 0
   2: 0100007F:8D5D 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 9999 1 0000 100 0 0 10 0
`
const table6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:AAED 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5710 1 0000 100 0 0 10 0
   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5711 1 0000 100 0 0 10 0
   2: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5712 1 0000 100 0 0 10 0
`

describe("the kernel's table", () => {
  it("lists sockets with their addresses, and whether they listen", () => {
    const listens = true
    expect(PortHolder.parseTable(table)).toEqual([
      { address: "127.0.0.1", port: 36_189, inode: "5709", listens },
      { address: "0.0.0.0", port: 2_024, inode: "1603", listens },
      { address: "127.0.0.1", port: 36_189, inode: "9999", listens: false },
    ])
    expect(PortHolder.parseTable(table6)).toEqual([
      { address: "::1", port: 43_757, inode: "5710", listens },
      { address: "::", port: 80, inode: "5711", listens },
      { address: "127.0.0.1", port: 81, inode: "5712", listens },
    ])
  })

  it("a listener at just the address goes before one at all addresses; an IPv6 one for all takes IPv4 too", () => {
    const at = (address: string) => ({ address, port: 1 })
    const find = (address: string, ...all: ReadonlyArray<string>) =>
      PortHolder.entriesAt(all.map(at), { address, port: 1 }).map((entry) => entry.address)
    expect(find("127.0.0.1", "0.0.0.0", "127.0.0.1")).toEqual(["127.0.0.1"])
    expect(find("127.0.0.1", "0.0.0.0", "127.0.0.2")).toEqual(["0.0.0.0"])
    expect(find("127.0.0.1", "::")).toEqual(["::"])
    expect(find("127.0.0.1", "::", "0.0.0.0")).toEqual(["0.0.0.0"])
    expect(find("127.0.0.1", "127.0.0.2", "::1")).toEqual([])
    expect(find("0.0.0.0", "127.0.0.1", "127.0.0.2")).toEqual(["127.0.0.1"])
    expect(find("0.0.0.0", "127.0.0.2")).toEqual(["127.0.0.2"])
    expect(find("fe80::1%lo", "fe80::1")).toEqual(["fe80::1"])
    expect(find("::1", "0.0.0.0")).toEqual([])
    expect(find("0:0:0:0:0:0:0:1", "::1")).toEqual(["::1"])
    expect(find("::ffff:127.0.0.1", "127.0.0.1")).toEqual(["127.0.0.1"])
  })

  it("lsof's words", () => {
    expect(
      PortHolder.parseLsof("p3006\ncnode\nf19\nn127.0.0.1:36189\nf20\nn[::1]:1\np7\ncx y\nf1\nn*:80\n"),
    ).toEqual([
      { pid: 3006, command: "node", address: "127.0.0.1" },
      { pid: 3006, command: "node", address: "::1" },
      { pid: 7, command: "x y", address: "::" },
    ])
  })
})

const ways = [
  ...(isLinux ? ([["/proc", PortHolder.layerProc]] as const) : []),
  ["lsof", Layer.provide(PortHolder.layerLsof, Spawner.layer)],
] as const

for (const [name, layer] of ways) {
  describe(`who listens, by ${name}`, () => {
    it.scopedLive("another process, with its command", () =>
      Effect.gen(function* () {
        const holders = yield* PortHolder.PortHolders
        const server = yield* spawnServer()
        const found = yield* holders.find({ port: server.port })
        expect(found?.pid).toBe(server.process.pid)
        expect(found?.command).toContain("node")
        const where = { port: server.port, address: "127.0.0.1" }
        expect(yield* holders.find(where)).toEqual(found)
        expect(yield* holders.isHeldBy(where, [server.process.pid])).toBe(true)
        expect(yield* holders.isHeldBy(where, [process.pid])).toBe(false)
      }).pipe(Effect.provide(layer), Effect.provide(Spawner.layer)),
    )

    it.scopedLive("this process, on IPv6", () =>
      Effect.gen(function* () {
        const holders = yield* PortHolder.PortHolders
        const server = yield* tcpServer(silent, "::1")
        const where = { port: server.port, address: "::1" }
        expect((yield* holders.find(where))?.pid).toBe(process.pid)
        expect(yield* holders.isHeldBy(where, [1, process.pid])).toBe(true)
      }).pipe(Effect.provide(layer)),
    )

    it.scopedLive("nobody", () =>
      Effect.gen(function* () {
        const holders = yield* PortHolder.PortHolders
        const port = yield* freePort
        expect(yield* holders.find({ port })).toBeUndefined()
        expect(yield* holders.isHeldBy({ port, address: "127.0.0.1" }, [process.pid])).toBeUndefined()
        expect(yield* holders.isFree({ port, address: "127.0.0.1" })).toBe(true)
        // Looking leaves nothing behind.
        yield* tcpServer(silent, "127.0.0.1", port)
      }).pipe(Effect.provide(layer)),
    )

    it.scopedLive("a listener is in the way of another", () =>
      Effect.gen(function* () {
        const holders = yield* PortHolder.PortHolders
        const { port } = yield* tcpServer(silent)
        expect(yield* holders.isFree({ port, address: "127.0.0.1" })).toBe(false)
      }).pipe(Effect.provide(layer)),
    )

    it.scopedLive("everybody at any address of the port, each once", () =>
      Effect.gen(function* () {
        const holders = yield* PortHolder.PortHolders
        const server = yield* spawnServer()
        yield* tcpServer(silent, "::1", server.port)
        const found = yield* holders.listeners(server.port)
        expect(found.unnamed).toBe(false)
        expect(found.holders.map(({ pid }) => pid).sort()).toEqual([process.pid, server.process.pid].sort())
        for (const { command } of found.holders) expect(command).not.toBe("")
        const nobody = yield* freePort
        expect(yield* holders.listeners(nobody)).toEqual({ holders: [], unnamed: false })
      }).pipe(Effect.provide(layer), Effect.provide(Spawner.layer)),
    )

    it.scopedLive("no listener: who only has a connection from that port", () =>
      Effect.gen(function* () {
        const holders = yield* PortHolder.PortHolders
        const server = yield* tcpServer(silent)
        const socket = connect(server.port, "127.0.0.1")
        yield* Effect.addFinalizer(() => Effect.sync(() => socket.destroy()))
        yield* server.connected(1)
        const found = yield* holders.listeners(socket.localPort!)
        expect(found.holders).toEqual([])
      }).pipe(Effect.provide(layer)),
    )

    it.scopedLive("an address of another machine says nothing", () =>
      Effect.gen(function* () {
        const holders = yield* PortHolder.PortHolders
        // TEST-NET-3 of RFC 5737.
        expect(yield* holders.isFree({ port: 80, address: "203.0.113.1" })).toBe(true)
      }).pipe(Effect.provide(layer)),
    )

    // Only Linux has all of 127.0.0.0/8.
    it.scopedLive.runIf(isLinux)("somebody at another address of the port is not blamed", () =>
      Effect.gen(function* () {
        const holders = yield* PortHolder.PortHolders
        const { port } = yield* tcpServer(silent, "127.0.0.2")
        const where = { port, address: "127.0.0.1" }
        expect(yield* holders.find(where)).toBeUndefined()
        expect(yield* holders.isHeldBy(where, [process.pid])).toBeUndefined()
        expect(yield* holders.isFree(where)).toBe(true)
        expect((yield* holders.find({ port }))?.pid).toBe(process.pid)
        expect((yield* holders.find({ port, address: "0.0.0.0" }))?.pid).toBe(process.pid)
      }).pipe(Effect.provide(layer)),
    )
  })
}

describe.runIf(isLinux)("by /proc", () => {
  it.scopedLive("a member that is gone does not leave open who listens", () =>
    Effect.gen(function* () {
      const holders = yield* PortHolder.PortHolders
      const { port } = yield* tcpServer(silent)
      const gone = spawnSync("/bin/true").pid
      expect(yield* holders.isHeldBy({ port, address: "127.0.0.1" }, [gone])).toBe(false)
    }).pipe(Effect.provide(PortHolder.layerProc)),
  )

  it.scopedLive("a port that serves a connection to elsewhere is taken, until that is closing", () =>
    Effect.gen(function* () {
      const holders = yield* PortHolder.PortHolders
      const server = yield* tcpServer(silent)
      const socket = connect(server.port, "127.0.0.1")
      yield* server.connected(1)
      const where = { port: socket.localPort!, address: "127.0.0.1" }
      expect(yield* holders.isFree(where)).toBe(false)
      expect((yield* holders.find(where))?.pid).toBe(process.pid)
      expect(yield* holders.isHeldBy(where, [process.pid])).toBeUndefined()
      // Who ends first has the last word to wait for: TIME_WAIT.
      socket.end()
      yield* server.allClosed
      yield* eventually("the socket is closed", () => socket.closed)
      expect(yield* holders.isFree(where)).toBe(true)
      expect(yield* holders.find(where)).toBeUndefined()
    }).pipe(Effect.provide(PortHolder.layerProc)),
  )
})
