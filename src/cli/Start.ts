/** The program as the system starts it. In the built program this is a file of its own. */
import { run } from "./Program.js"
import { commands } from "./Registry.js"
import type { Routes } from "./Routes.js"
import { endHungUp, hasNoTerminal, isInTerminal, sinkOf } from "./Terminal.js"
import type { Sink, World } from "./World.js"

/** Written in by the build. */
declare const HOLDFAST_ROUTES: Routes

const readAll = async (): Promise<Uint8Array> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** Does what the arguments say; resolves to the exit code. `file` is the one that Node was given. */
export const start = async (args: ReadonlyArray<string>, file: string, version: string): Promise<number> => {
  // Node opens a stream when it is looked at, which takes longer than reading the arguments.
  let [out, err]: [Sink?, Sink?] = []
  let wasInTerminal = false
  const world: World = {
    version,
    platform: process.platform,
    env: process.env,
    cwd: process.cwd(),
    get out() {
      return (out ??= sinkOf(process.stdout))
    },
    get err() {
      return (err ??= sinkOf(process.stderr))
    },
    input: readAll,
    program: [process.execPath, file],
    routes: HOLDFAST_ROUTES,
    onSignal: (signals, listener) => {
      if (signals.includes("SIGHUP")) wasInTerminal = isInTerminal()
      for (const signal of signals) process.on(signal, listener)
      return () => {
        for (const signal of signals) process.off(signal, listener)
      }
    },
    isInTerminal,
    hasNoTerminal,
    exit: (code) => process.exit(code),
  }
  const code = await run(args, world, commands)
  if (wasInTerminal && hasNoTerminal()) endHungUp()
  return code
}
