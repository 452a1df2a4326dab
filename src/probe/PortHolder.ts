/** Who listens on a port of this machine, as far as the system tells. */
import { readdir, readFile, readlink } from "node:fs/promises"
import { createServer, isIP } from "node:net"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ProcessSpawner } from "../process/ProcessSpawner.js"
import type { Peer } from "./ProbeResult.js"

/** A process that listens. */
export interface PortHolder {
  readonly pid: number
  /** Its command line, at most 200 characters. */
  readonly command: string
}

/** Who listens on a port, at whatever address. */
export interface Listeners {
  /** Each process once. Several may share a socket, as a server and its workers do. */
  readonly holders: ReadonlyArray<PortHolder>
  /** Whether somebody listens whom the system does not name: most often another user's process. */
  readonly unnamed: boolean
}

/** `node server.js (pid 4711)`. */
export const format = (holder: PortHolder): string => `${holder.command} (pid ${holder.pid})`

/** Looks up who listens. */
export class PortHolders extends Context.Tag("holdfast/probe/PortHolders")<
  PortHolders,
  {
    /**
     * Who listens at that address, else who else uses it, such as for a connection to elsewhere. Somebody at another
     * address of the same port is not meant, unless no address is given or one that stands for all. Undefined: unknown.
     */
    readonly find: (where: {
      readonly port: number
      readonly address?: string
    }) => Effect.Effect<PortHolder | undefined>
    /** Every process that listens on that port. Those that only use it, such as for a connection to elsewhere, do not. */
    readonly listeners: (port: number) => Effect.Effect<Listeners>
    /**
     * Whether one of these processes is the listener that answers at that address. Undefined where the system does
     * not tell, which includes a listener in another place, such as a container.
     */
    readonly isHeldBy: (where: Peer, pids: ReadonlyArray<number>) => Effect.Effect<boolean | undefined>
    /**
     * Whether a server could listen there, found out by listening for a moment. True also where that says nothing: the
     * address is not one of this machine, the port needs a right that this program lacks, or all that is left are
     * connections that nobody has open any more.
     */
    readonly isFree: (where: Peer) => Effect.Effect<boolean>
  }
>() {}

/** A socket with a place of its own. */
export interface Entry {
  /** As `node:net` writes addresses; an IPv4 address mapped into IPv6 as IPv4. */
  readonly address: string
  readonly port: number
  /** `"0"`: no process has it open. */
  readonly inode: string
  readonly listens: boolean
}

const commandCap = 200

const listenState = "0A"

/** Four bytes in the machine's order (little-endian on everything Node runs Linux on, save s390x). */
const words = (hex: string): Array<number> =>
  (hex.match(/.{8}/g) ?? []).flatMap((word) => [...Buffer.from(word, "hex").reverse()])

const addressOf = (hex: string): string => {
  const bytes = words(hex)
  if (bytes.length === 4) return bytes.join(".")
  const mapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255
  if (mapped) return bytes.slice(12).join(".")
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((bytes[index * 2]! << 8) | bytes[index * 2 + 1]!).toString(16),
  )
  return canonical(groups.join(":"))
}

/** One spelling for each address, without its zone. */
const canonical = (text: string): string => {
  const address = text.replace(/%.*/, "")
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped !== null) return mapped[1]!
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address
}

/** The sockets in a table of the kernel, `/proc/net/tcp` or `/proc/net/tcp6`. */
export const parseTable = (text: string): ReadonlyArray<Entry> =>
  text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/)
      const [address, port] = local?.split(":") ?? []
      return address !== undefined && port !== undefined && inode !== undefined
        ? [
            {
              address: addressOf(address),
              port: Number.parseInt(port, 16),
              inode,
              listens: state === listenState,
            },
          ]
        : []
    })

/** A place; without an address: that port anywhere. */
interface Place {
  readonly port: number
  readonly address?: string
}

/** The addresses that stand for all, and where a connection to them goes. */
const loopbackOf = new Map([
  ["0.0.0.0", "127.0.0.1"],
  ["::", "::1"],
])

/**
 * The entries that get a connection to that place: those at just that address, else those at all addresses. What
 * stands for all addresses leads to the loopback one, and else means any.
 */
export const entriesAt = <A extends Peer>(entries: ReadonlyArray<A>, where: Place): ReadonlyArray<A> => {
  const onPort = entries.filter(({ port }) => port === where.port)
  if (where.address === undefined) return onPort
  const address = canonical(where.address)
  const at = (wanted: string | undefined) => onPort.filter((entry) => entry.address === wanted)
  const loopback = loopbackOf.get(address)
  // An IPv4 socket for all addresses goes before an IPv6 one, which may or may not take IPv4 too.
  const choices = [at(address), isIP(address) === 4 ? at("0.0.0.0") : [], at("::"), at(loopback)]
  return choices.find(({ length }) => length > 0) ?? (loopback === undefined ? [] : onPort)
}

const orUndefined = <A>(run: () => Promise<A>): Promise<A | undefined> => run().catch(() => undefined)

const readTables = async (): Promise<ReadonlyArray<Entry>> => {
  const tables = await Promise.all(
    ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => orUndefined(() => readFile(path, "utf8"))),
  )
  return tables.flatMap((table) => (table === undefined ? [] : parseTable(table)))
}

/** The sockets a process has open, none when it is gone; undefined when it may not be looked at. */
const readSockets = async (pid: number): Promise<ReadonlySet<string> | undefined> => {
  const directory = `/proc/${pid}/fd`
  const descriptors = await readdir(directory).catch((cause: NodeJS.ErrnoException) =>
    cause.code === "ENOENT" || cause.code === "ESRCH" ? [] : undefined,
  )
  if (descriptors === undefined) return undefined
  const links = await Promise.all(
    descriptors.map((name) => orUndefined(() => readlink(`${directory}/${name}`))),
  )
  return new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link ?? "")?.[1] ?? []))
}

const readCommand = async (pid: number): Promise<string> => {
  const line = (await orUndefined(() => readFile(`/proc/${pid}/cmdline`, "utf8"))) ?? ""
  const command = line.replaceAll("\0", " ").trim()
  if (command !== "") return command.slice(0, commandCap)
  return ((await orUndefined(() => readFile(`/proc/${pid}/comm`, "utf8"))) ?? "a process").trim()
}

const findOnLinux = async (where: Place): Promise<PortHolder | undefined> => {
  const all = (await readTables()).filter(({ inode }) => inode !== "0")
  const listeners = entriesAt(
    all.filter(({ listens }) => listens),
    where,
  )
  const entries = listeners.length > 0 ? listeners : entriesAt(all, where)
  if (entries.length === 0) return undefined
  for (const name of (await orUndefined(() => readdir("/proc"))) ?? []) {
    const pid = Number(name)
    if (!Number.isInteger(pid)) continue
    const sockets = await readSockets(pid)
    if (sockets !== undefined && entries.some(({ inode }) => sockets.has(inode))) {
      return { pid, command: await readCommand(pid) }
    }
  }
  return undefined
}

const listenersOnLinux = async (port: number): Promise<Listeners> => {
  const unseen = new Set(
    (await readTables()).flatMap((entry) => (entry.listens && entry.port === port ? [entry.inode] : [])),
  )
  if (unseen.size === 0) return { holders: [], unnamed: false }
  const sought = [...unseen]
  const holders: Array<PortHolder> = []
  for (const name of (await orUndefined(() => readdir("/proc"))) ?? []) {
    const pid = Number(name)
    if (!Number.isInteger(pid)) continue
    const sockets = await readSockets(pid)
    const held = sought.filter((inode) => sockets?.has(inode) === true)
    if (held.length > 0) holders.push({ pid, command: await readCommand(pid) })
    for (const inode of held) unseen.delete(inode)
  }
  return { holders, unnamed: unseen.size > 0 }
}

const isHeldOnLinux = async (where: Peer, pids: ReadonlyArray<number>): Promise<boolean | undefined> => {
  const tables = await readTables()
  const listeners = entriesAt(
    tables.filter(({ listens }) => listens),
    where,
  )
  if (listeners.length === 0) return undefined
  const sockets = await Promise.all(pids.map(readSockets))
  if (listeners.some(({ inode }) => sockets.some((open) => open?.has(inode) === true))) return true
  // One that could not be looked at may be the one.
  return pids.length === 0 || sockets.includes(undefined) ? undefined : false
}

/** Whether listening there fails because somebody has the place. A server that had no connection leaves no trace. */
const isRefusedToListen = (where: Peer): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy())
    server.on("error", (cause: NodeJS.ErrnoException) => resolve(cause.code === "EADDRINUSE"))
    server.listen({ host: where.address, port: where.port, exclusive: true }, () =>
      server.close(() => resolve(false)),
    )
  })

const isFreeOnLinux = async (where: Peer): Promise<boolean> => {
  if (!(await isRefusedToListen(where))) return true
  // What is bound and does nothing else stands in no table; connections that are closing do.
  const address = canonical(where.address)
  const inTheWay = (await readTables()).filter(
    (entry) =>
      entry.port === where.port &&
      (entry.address === address || loopbackOf.has(entry.address) || loopbackOf.has(address)),
  )
  return inTheWay.length > 0 && inTheWay.every(({ inode }) => inode === "0")
}

/** Reads the kernel's tables. Linux only. */
export const layerProc: Layer.Layer<PortHolders> = Layer.succeed(PortHolders, {
  find: (where) => Effect.promise(() => findOnLinux(where)),
  listeners: (port) => Effect.promise(() => listenersOnLinux(port)),
  isHeldBy: (where, pids) => Effect.promise(() => isHeldOnLinux(where, pids)),
  isFree: (where) => Effect.promise(() => isFreeOnLinux(where)),
})

/** A listener in the words of `lsof`. */
interface LsofListener extends PortHolder {
  readonly address: string
}

/** Reads what `lsof -F pcn` writes. */
export const parseLsof = (text: string): ReadonlyArray<LsofListener> => {
  const found: Array<LsofListener> = []
  let pid = 0
  let command = "a process"
  for (const line of text.split("\n")) {
    const value = line.slice(1)
    if (line.startsWith("p")) pid = Number(value)
    else if (line.startsWith("c")) command = value.slice(0, commandCap)
    else if (line.startsWith("n")) {
      const address = value.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1")
      found.push({ pid, command, address: address === "*" ? "::" : canonical(address) })
    }
  }
  return found
}

/** Asks `lsof`, as on macOS. Where that is missing or says nothing, nobody is known. */
export const layerLsof: Layer.Layer<PortHolders, never, ProcessSpawner> = Layer.effect(
  PortHolders,
  Effect.map(ProcessSpawner, (spawner) => {
    const ask = (where: Place) =>
      Effect.scoped(
        Effect.gen(function* () {
          const child = yield* spawner.spawn({
            command: ["lsof", "-nP", `-iTCP:${where.port}`, "-sTCP:LISTEN", "+c", "0", "-F", "pcn"],
            stop: { signal: "KILL", grace: 0 },
          })
          yield* child.output.ended
          const all = parseLsof(child.output.tail()).map((one) => ({ ...one, port: where.port }))
          return entriesAt(all, where)
        }),
      ).pipe(
        Effect.timeout("3 seconds"),
        Effect.catchAll(() => Effect.succeed([])),
      )
    return {
      find: (where) =>
        Effect.map(ask(where), ([first]) =>
          first === undefined ? undefined : { pid: first.pid, command: first.command },
        ),
      listeners: (port) =>
        Effect.gen(function* () {
          const found = new Map((yield* ask({ port })).map(({ command, pid }) => [pid, { pid, command }]))
          const unnamed =
            found.size === 0 &&
            (yield* Effect.promise(() => isRefusedToListen({ port, address: "127.0.0.1" })))
          return { holders: [...found.values()], unnamed }
        }),
      isHeldBy: (where, pids) =>
        Effect.map(ask(where), (holders) =>
          holders.length === 0 ? undefined : holders.some(({ pid }) => pids.includes(pid)),
        ),
      isFree: (where) => Effect.promise(async () => !(await isRefusedToListen(where))),
    }
  }),
)

/**
 * Knows who holds which port from a function, and asks no system: for tests of whatever uses {@link PortHolders}.
 *
 * @param holderOf who holds a port, at whatever address; undefined when it is free
 */
export const layerMemory = (
  holderOf: (port: number) => PortHolder | undefined = () => undefined,
): Layer.Layer<PortHolders> =>
  Layer.succeed(PortHolders, {
    find: ({ port }) => Effect.sync(() => holderOf(port)),
    listeners: (port) =>
      Effect.sync(() => {
        const holder = holderOf(port)
        return { holders: holder === undefined ? [] : [holder], unnamed: false }
      }),
    isHeldBy: ({ port }, pids) =>
      Effect.sync(() => {
        const holder = holderOf(port)
        return holder === undefined ? undefined : pids.includes(holder.pid)
      }),
    isFree: ({ port }) => Effect.sync(() => holderOf(port) === undefined),
  })

/** The one for this system. */
export const layer: Layer.Layer<PortHolders, never, ProcessSpawner> =
  process.platform === "linux" ? layerProc : layerLsof
