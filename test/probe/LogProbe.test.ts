import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Prober from "../../src/probe/Prober.js"
import * as ProcessOutput from "../../src/process/ProcessOutput.js"
import { proberLive } from "./support.js"

const pattern = "listening on (?<url>\\S+)(?: as (?<name>\\w+))?"
const bytes = (text: string) => Buffer.from(text)

const watching = (output: ProcessOutput.Hub) =>
  Effect.flatMap(Prober.Prober, (prober) => prober.attach({ log: { pattern } }, { output }))

describe("the log probe", () => {
  it.scoped("is not ready before the line, and passes with its named groups from then on", () =>
    Effect.gen(function* () {
      const output = ProcessOutput.make()
      const probe = yield* watching(output)
      const before = yield* Effect.flip(probe.check)
      expect(before).toMatchObject({ class: "unhealthy", transient: true, kind: "log" })
      expect(before.message).toContain("nothing was written")
      output.offer("stdout", bytes("starting\n"))
      expect((yield* Effect.flip(probe.check)).message).toContain("the last line: starting")
      output.offer("stdout", bytes("listening on http://127.0.0.1:1 as web\n"))
      const passed = yield* probe.check
      expect(passed.outputs).toEqual({ url: "http://127.0.0.1:1", name: "web" })
      output.offer("stdout", bytes("listening on http://127.0.0.1:2\n"))
      expect((yield* probe.check).outputs).toEqual(passed.outputs)
    }).pipe(Effect.provide(proberLive)),
  )

  it.scoped("a line split across chunks, in the middle of a character too", () =>
    Effect.gen(function* () {
      const output = ProcessOutput.make()
      const probe = yield* watching(output)
      for (const byte of bytes("é listening on http://é/\n")) {
        yield* Effect.flip(probe.check)
        output.offer("stderr", Uint8Array.of(byte))
      }
      expect((yield* probe.check).outputs).toEqual({ url: "http://é/" })
    }).pipe(Effect.provide(proberLive)),
  )

  it.scoped("chunks of the other stream in between do not disturb it", () =>
    Effect.gen(function* () {
      const output = ProcessOutput.make()
      const probe = yield* watching(output)
      output.offer("stdout", bytes("listening "))
      output.offer("stderr", bytes("warning\n"))
      output.offer("stdout", bytes("on here\n"))
      expect((yield* probe.check).outputs).toEqual({ url: "here" })
    }).pipe(Effect.provide(proberLive)),
  )

  it.scoped("a line written before anybody attached counts, whole or begun", () =>
    Effect.gen(function* () {
      const whole = ProcessOutput.make()
      whole.offer("stdout", bytes("listening on early\nmore\n"))
      expect((yield* (yield* watching(whole)).check).outputs).toEqual({ url: "early" })

      const begun = ProcessOutput.make()
      begun.offer("stdout", bytes("first\nlisten"))
      const probe = yield* watching(begun)
      begun.offer("stderr", bytes("unrelated\n"))
      yield* Effect.flip(probe.check)
      begun.offer("stdout", bytes("ing on late\n"))
      expect((yield* probe.check).outputs).toEqual({ url: "late" })

      const ended = ProcessOutput.make()
      ended.offer("stdout", bytes("listening on last"))
      ended.end()
      expect((yield* (yield* watching(ended)).check).outputs).toEqual({ url: "last" })
    }).pipe(Effect.provide(proberLive)),
  )

  it.scoped("the end of a line that was cut at the beginning of what is kept is no line", () =>
    Effect.gen(function* () {
      const output = ProcessOutput.make()
      const ready = "ready 1\n"
      output.offer("stdout", bytes(`not ${ready}${"x".repeat(8_191 - ready.length)}\n`))
      expect(output.tail().startsWith(ready)).toBe(true)
      const prober = yield* Prober.Prober
      const probe = yield* prober.attach({ log: { pattern: "^ready" } }, { output })
      yield* Effect.flip(probe.check)
      output.offer("stdout", bytes(ready))
      yield* probe.check
    }).pipe(Effect.provide(proberLive)),
  )

  for (const [name, slow, line] of [
    ["exponential", "^(a+)+$", `${"a".repeat(8_000)}b`],
    ["polynomial", "(.*)(.*)(.*)x$", "a".repeat(8_000)],
  ] as const) {
    it.scopedLive(`a pattern of ${name} cost is cut off, and the failure says so`, () =>
      Effect.gen(function* () {
        const output = ProcessOutput.make()
        const prober = yield* Prober.Prober
        const probe = yield* prober.attach({ log: { pattern: slow } }, { output })
        const start = performance.now()
        output.offer("stdout", bytes(`${line}\n`))
        expect(performance.now() - start).toBeLessThan(3_000)
        yield* probe.wake
        expect(yield* Effect.flip(probe.check)).toMatchObject({ class: "error", transient: false })
        // It is not tried again.
        const again = process.cpuUsage()
        output.offer("stdout", bytes(`${line}\n`.repeat(100)))
        expect(process.cpuUsage(again).user).toBeLessThan(200_000)
      }).pipe(Effect.provide(proberLive)),
    )
  }

  it.scoped("says when the output has ended without the line", () =>
    Effect.gen(function* () {
      const output = ProcessOutput.make()
      const probe = yield* watching(output)
      output.offer("stdout", bytes("bye\n"))
      output.end()
      const failure = yield* Effect.flip(probe.check)
      expect(failure.transient).toBe(true)
      expect(failure.message).toContain("has ended")
    }).pipe(Effect.provide(proberLive)),
  )

  it.scoped("shows no masked value of the line that it quotes", () =>
    Effect.gen(function* () {
      const output = ProcessOutput.make()
      const prober = yield* Prober.Prober
      const target = { output, env: { TOKEN: "hunter2" }, mask: ["TOKEN"] }
      const probe = yield* prober.attach({ log: { pattern } }, target)
      output.offer("stdout", bytes("token is hunter2\n"))
      expect((yield* Effect.flip(probe.check)).message).toContain("the last line: token is ***")
    }).pipe(Effect.provide(proberLive)),
  )

  it.scoped("wakes its poller once, also one that comes later", () =>
    Effect.gen(function* () {
      const output = ProcessOutput.make()
      const probe = yield* watching(output)
      const waiting = yield* Effect.fork(probe.wake)
      yield* Effect.yieldNow()
      output.offer("stdout", bytes("listening on x\n"))
      yield* Fiber.join(waiting)
      const again = yield* Effect.fork(probe.wake)
      yield* Effect.yieldNow()
      output.offer("stdout", bytes("listening on y\n"))
      yield* Effect.yieldNow()
      expect(again.unsafePoll()).toBeNull()
      yield* Fiber.interrupt(again)

      const other = ProcessOutput.make()
      const late = yield* watching(other)
      other.offer("stdout", bytes("listening on z\n"))
      yield* late.wake
    }).pipe(Effect.provide(proberLive)),
  )

  it.effect("stops listening when its scope closes", () =>
    Effect.gen(function* () {
      const output = ProcessOutput.make()
      let listeners = 0
      const counted: ProcessOutput.ProcessOutput = Object.assign(Object.create(output), {
        subscribe: (...args: Parameters<typeof output.subscribe>) => {
          listeners++
          const end = output.subscribe(...args)
          return () => {
            listeners--
            end()
          }
        },
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const prober = yield* Prober.Prober
          yield* prober.attach({ log: { pattern } }, { output: counted })
          expect(listeners).toBe(1)
        }),
      )
      expect(listeners).toBe(0)
    }).pipe(Effect.provide(proberLive)),
  )
})
