/** Waiting for a job in front of a terminal: how far it is, and a Ctrl-C that leaves it alone. */
import { setTimeout as sleep } from "node:timers/promises"
import * as Format from "./Format.js"
import { defined } from "./Output.js"
import { connect, type Reply } from "./Client.js"
import { codeOf, isOver, sentenceOf } from "./Result.js"
import { rootOption } from "./Root.js"
import type { Session } from "./Session.js"
import * as Sessions from "./Session.js"
import * as StatusLine from "./StatusLine.js"
import type { World } from "./World.js"
import { exitCode, printable } from "./World.js"

/** What a command that waits has around it. */
export interface Watch {
  readonly session: Session
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal
  readonly line: StatusLine.StatusLine
}

/**
 * Runs what waits for a job. A Ctrl-C ends the waiting and says how to get back to the job, which runs on; another one
 * ends this program at once.
 */
export const watching = async (
  {
    deadline,
    id,
    root,
    world,
  }: {
    readonly id: () => string
    readonly root: string
    readonly world: World
    /** When the waiting has to end, as `performance.now()` tells it. Default never. */
    readonly deadline?: number | undefined
  },
  isReached: boolean,
  wait: (watch: Watch) => Promise<number>,
): Promise<number> => {
  const line = StatusLine.make(world.err)
  const say = async (text: string) => {
    line.hide()
    await world.err.write(text)
  }
  const aborter = new AbortController()
  let off = () => {}
  const interrupted = new Promise<number>((resolve) => {
    off = world.onSignal(["SIGINT"], () => {
      off()
      aborter.abort()
      resolve(exitCode.interrupted)
    })
  })
  try {
    const session = Sessions.make({ root, world, say, deadline, signal: aborter.signal }, isReached)
    const waited = wait({ session, signal: aborter.signal, line })
    // Once it is aborted, how it fails does not matter.
    waited.catch(() => {})
    const code = await Promise.race([waited, interrupted])
    line.end()
    if (aborter.signal.aborted) {
      const name = `${id()}${rootOption(root, world)}`
      await world.err.write(
        `\nJob ${id()} goes on. Back to it: holdfast wait ${name}; stop it: holdfast stop ${name}\n`,
      )
    }
    return code
  } finally {
    off()
    line.end()
  }
}

/** Tells how far a job is, once a second, until it is aborted. Whoever waits for the job says what is wrong. */
const looking = async (
  { id, root, signal, world }: { id: string; root: string; signal: AbortSignal; world: World },
  tell: (state: string, said: string) => void,
): Promise<void> => {
  while (!signal.aborted) {
    try {
      const client = connect(root, world)
      const [status, tail] = await Promise.all([
        client.call("status", { path: { id } }, { signal }),
        client.call("tail", { path: { id }, query: { lines: 1, max_bytes: 512 } }, { signal }),
      ])
      const { stderr_tail, stdout_tail } = tail.value
      tell(status.value.state, printable((stdout_tail.trim() || stderr_tail.trim()).slice(0, 500)))
    } catch {
      // The daemon may be gone; the next one will tell.
    }
    await sleep(1_000, undefined, { signal }).catch(() => {})
  }
}

/** Waits for the end of a job; on a terminal it shows how long it takes, and the last line of its output. */
export const awaitEnd = async ({ line, session, signal }: Watch, id: string): Promise<Reply<"wait">> => {
  const begin = Date.now()
  const shown = { state: "", said: "" }
  const { root, world } = session.options
  const over = new AbortController()
  if (world.err.isTerminal) {
    line.show(() => `${Format.duration(Date.now() - begin)}  ${shown.state}  ${shown.said}`)
    signal.addEventListener("abort", () => over.abort(), { once: true })
    void looking({ root, world, id, signal: over.signal }, (state, said) => {
      shown.state = state
      shown.said = said
    })
  }
  try {
    return await session.persist(async (client) => {
      for (;;) {
        const reply = await client.call("wait", { path: { id } }, { patience: 0, signal })
        if (isOver(reply.value.state)) return reply
      }
    })
  } finally {
    over.abort()
    line.hide()
  }
}

/** The exit code for an end, which is told in words where it was not an exit by itself. */
export const conclude = async (session: Session, id: string, isQuiet: boolean): Promise<number> => {
  const { value } = await session.persist((client) => client.call("status", { path: { id } }))
  const sentence = sentenceOf(value.job_id, value)
  if (!isQuiet && sentence !== undefined)
    await session.options.world.err.write(`holdfast: ${printable(sentence)}\n`)
  return codeOf(defined(value))
}
