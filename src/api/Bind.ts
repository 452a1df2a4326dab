/** Where a server listens: reading what was asked for, and taking the place. */
import * as fs from "node:fs"
import type { Server } from "node:http"
import type { ListenOptions } from "node:net"
import { connect } from "node:net"
import { dirname, resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Authority from "../probe/Authority.js"
import { PortHolders } from "../probe/PortHolder.js"
import { Holder } from "../probe/Occupied.js"
import { codeOf, systemReason } from "../process/Diagnosis.js"
import * as Access from "./Access.js"

/** Where a server listens unless told otherwise. */
export const defaultBind = "127.0.0.1:19263"

/** A place to listen at. */
export type Place =
  | {
      readonly _tag: "Tcp"
      /** Without brackets. */
      readonly host: string
      /** 0: any that is free. */
      readonly port: number
    }
  | { readonly _tag: "Unix"; readonly path: string }

/** What was asked for is no place to listen at. */
export class InvalidBind extends Schema.TaggedError<InvalidBind>()("InvalidBind", {
  bind: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `Cannot listen at ${JSON.stringify(this.bind)}: ${this.reason}. Give HOST:PORT, [IPV6]:PORT or unix:PATH.`
  }
}

/** Anybody in the network could run commands: a token is needed there. */
export class UnsafeBind extends Schema.TaggedError<UnsafeBind>()("UnsafeBind", { bind: Schema.String }) {
  override get message(): string {
    return `Without a token, ${this.bind} would let everybody who reaches it run commands. Leave the token on, or listen at 127.0.0.1 or a Unix socket.`
  }
}

/** Somebody listens there already. */
export class AddressInUse extends Schema.TaggedError<AddressInUse>()("AddressInUse", {
  address: Schema.String,
  /** Who it is, where the system tells. */
  holder: Schema.optional(Holder),
}) {
  override get message(): string {
    const who =
      this.holder === undefined ? "another program" : `${this.holder.command} (pid ${this.holder.pid})`
    return `Cannot listen at ${this.address}: ${who} does. Stop it, or choose another address.`
  }
}

/** The system does not let this program listen there. */
export class BindFailed extends Schema.TaggedError<BindFailed>()("BindFailed", {
  address: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `Cannot listen at ${this.address}: ${this.reason}. Choose another address.`
  }
}

/** Why a server does not listen. */
export type BindError = InvalidBind | UnsafeBind | AddressInUse | BindFailed

/** What the smallest system (macOS) takes, without the zero at the end. */
const socketPathBytes = 103

/**
 * Reads `127.0.0.1:19263`, `localhost:0`, `[::1]:19263` or `unix:/run/holdfast.sock`. A relative path is taken from
 * the directory that the program runs in.
 */
export const parse = (bind: string): Either.Either<Place, InvalidBind> => {
  const refuse = (reason: string) => Either.left(new InvalidBind({ bind, reason }))
  if (bind.startsWith("unix:")) {
    const given = bind.slice("unix:".length)
    if (given === "" || given.includes("\0")) return refuse("there is no path")
    // Clients are told of it, wherever they are.
    const path = resolve(given)
    return Buffer.byteLength(path) > socketPathBytes
      ? refuse(`the path of a socket has at most ${socketPathBytes} bytes`)
      : Either.right({ _tag: "Unix", path })
  }
  const [, bracketed, bare, digits] = /^(?:\[([\da-f:.]+)\]|([\w.-]+)):(\d{1,5})$/i.exec(bind) ?? []
  const host = bracketed ?? bare
  if (host === undefined) return refuse("it is no address")
  const port = Number(digits)
  return port > 65_535
    ? refuse("a port is at most 65535")
    : Either.right({ _tag: "Tcp", host: host.toLowerCase(), port })
}

const everywhere: ReadonlySet<string> = new Set(["0.0.0.0", "::"])

/** Whether it stands for all addresses of this machine. */
export const isEverywhere = (place: Place): boolean => place._tag === "Tcp" && everywhere.has(place.host)

/** The address as clients write it: `http://127.0.0.1:19263`, `unix:/path`. */
export const format = (place: Place): string => {
  if (place._tag === "Unix") return `unix:${place.path}`
  // Who listens everywhere also does here.
  const host = place.host === "0.0.0.0" ? "127.0.0.1" : place.host === "::" ? "::1" : place.host
  return `http://${Authority.bracketed(host)}:${place.port}`
}

/** Whether only this machine's programs can reach it. */
export const isPrivate = (place: Place): boolean => place._tag === "Unix" || Access.isLoopback(place.host)

const listenOnce = (server: Server, options: ListenOptions) =>
  Effect.async<void, NodeJS.ErrnoException>((resume) => {
    const onError = (error: NodeJS.ErrnoException) => {
      server.off("listening", onListening)
      resume(Effect.fail(error))
    }
    const onListening = () => {
      server.off("error", onError)
      resume(Effect.void)
    }
    server.once("error", onError).once("listening", onListening)
    // A socket's file gets its mode from here, before anybody can connect. The place is taken within the call.
    const mask = options.path === undefined ? undefined : process.umask(0o077)
    try {
      server.listen(options)
    } finally {
      if (mask !== undefined) process.umask(mask)
    }
  })

/** Whether somebody answers at a socket. */
const answers = (path: string): Effect.Effect<boolean> =>
  Effect.async((resume) => {
    const socket = connect(path)
    const done = (isThere: boolean) => {
      socket.destroy()
      resume(Effect.succeed(isThere))
    }
    socket.once("connect", () => done(true))
    // Refused is what the file of a dead program gives; a backlog that is full is somebody's.
    socket.once("error", (error) => done(codeOf(error) === "EAGAIN"))
    return Effect.sync(() => socket.destroy())
  })

const takeSocket = (server: Server, path: string): Effect.Effect<void, AddressInUse | BindFailed> =>
  Effect.suspend(() => takeSocketNow(server, path))

const takeSocketNow = (server: Server, path: string): Effect.Effect<void, AddressInUse | BindFailed> => {
  const address = `unix:${path}`
  const parent = dirname(path)
  // Node says of it that permission is denied.
  if (!fs.existsSync(parent))
    return new BindFailed({ address, reason: `there is no directory ${parent}; make it first` })
  const failed = (cause: unknown) =>
    new BindFailed({ address, reason: `${systemReason(cause)} (${codeOf(cause)})` })
  const listen = listenOnce(server, { path })
  return listen.pipe(
    Effect.catchIf(
      (error) => error.code === "EADDRINUSE",
      () =>
        Effect.gen(function* () {
          const isSocket = yield* Effect.try({ try: () => fs.lstatSync(path).isSocket(), catch: failed })
          if (!isSocket) return yield* new BindFailed({ address, reason: "there is a file of that name" })
          if (yield* answers(path)) return yield* new AddressInUse({ address })
          yield* Effect.try({ try: () => fs.rmSync(path, { force: true }), catch: failed })
          yield* listen
        }),
    ),
    Effect.andThen(Effect.try(() => fs.chmodSync(path, 0o600))),
    Effect.mapError((error) =>
      error instanceof AddressInUse || error instanceof BindFailed ? error : failed(error),
    ),
  )
}

const takePort = (
  server: Server,
  place: Place & { readonly _tag: "Tcp" },
): Effect.Effect<void, AddressInUse | BindFailed, PortHolders> => {
  const address = format(place)
  return Effect.catchAll(
    listenOnce(server, { host: place.host, port: place.port }),
    (error): Effect.Effect<never, AddressInUse | BindFailed, PortHolders> =>
      error.code === "EADDRINUSE"
        ? Effect.gen(function* () {
            const holders = yield* PortHolders
            const holder = yield* holders.find({ port: place.port, address: place.host })
            return yield* new AddressInUse({ address, holder })
          })
        : Effect.fail(new BindFailed({ address, reason: `${systemReason(error)} (${codeOf(error)})` })),
  )
}

/** Makes a server listen, and says where it does: the place with its true port. */
export const listen = (
  server: Server,
  place: Place,
): Effect.Effect<Place, AddressInUse | BindFailed, PortHolders> =>
  place._tag === "Unix"
    ? Effect.as(takeSocket(server, place.path), place)
    : Effect.map(takePort(server, place), () => {
        const bound = server.address()
        return typeof bound === "object" && bound !== null ? { ...place, port: bound.port } : place
      })
