/** What `up` shows, for people and as lines of JSON. */
import type { LogLine } from "../../output/UnitLog.js"
import type { UnitChange } from "../../unit/SupervisorService.js"
import { painterOf } from "../Painter.js"
import * as UnitLine from "../UnitLine.js"
import type { World } from "../World.js"
import { printable } from "../World.js"
import type * as Follower from "./Follower.js"
import type { Screen } from "./Screen.js"
import * as Words from "./Words.js"

/** Everything that is shown. */
export interface View extends Follower.View {
  /** `since`: when the unit came to the state that it has left, in milliseconds since the epoch. */
  readonly change: (change: UnitChange, since: number | undefined, isEnding: boolean) => void
}

/** How to show it. */
export interface Options {
  /** The units that are shown, in the order of their colours. */
  readonly names: ReadonlyArray<string>
  readonly timestamps: boolean
  readonly world: World
  readonly screen: Screen
  readonly begun: Follower.View["begun"]
}

/** For people: output as data, all else as words. */
export const plain = ({ begun, names, screen, timestamps, world }: Options): View => {
  const data = UnitLine.make({ names, timestamps, paint: painterOf(world.out, world), sink: world.out })
  const paint = painterOf(world.err, world)
  const words = UnitLine.make({ names, timestamps, paint, sink: world.err })
  const shown = world.err.isTerminal ? UnitLine.tamed : printable
  const say = (name: string, text: string, at = Date.now()) => screen.say(words.word(name, at, text))
  return {
    lines: (name, lines) => lines.map((line) => data.line(name, line)).join(""),
    print: screen.print,
    begun,
    missed: (name, _count, sentence) => say(name, paint("yellow", sentence)),
    change: (change, since, isEnding) => {
      const found = Words.of(change, since, isEnding)
      if (found === undefined) return
      const { colour, output = [], text } = found
      const lines = [
        colour === undefined ? text : paint(colour, text),
        ...(output.length === 0 ? [] : ["its last output:"]),
        ...output.map((line) => `  ${shown(line)}`),
      ]
      screen.say(lines.map((line) => words.word(change.name, change.at, line)).join(""))
    },
  }
}

const time = (at: number): string => new Date(at).toISOString()

/** For programs: everything as data, one object a line, told apart by `type`. */
export const json = ({ begun, screen }: Pick<Options, "begun" | "screen">): View => {
  const text = (value: object) => `${JSON.stringify(value)}\n`
  const line = (unit: string, { at, continued, generation, seq, stream, text: own }: LogLine) =>
    text({
      type: "line",
      unit,
      seq,
      at: time(at),
      stream,
      text: own,
      ...(continued ? { continued } : {}),
      generation,
    })
  return {
    lines: (name, lines) => lines.map((one) => line(name, one)).join(""),
    print: screen.print,
    begun,
    missed: (unit, count) => void screen.print(text({ type: "missed", unit, count })),
    change: ({ at, from, name, status, to }) => {
      const { end, failure, generation, pid, port, reason, restartAt, url } = status
      void screen.print(
        text({
          type: "change",
          unit: name,
          from,
          to,
          at: time(at),
          generation,
          pid,
          port,
          url,
          reason,
          restart_at: restartAt === undefined ? undefined : time(restartAt),
          end: end && { exit_code: end.code, signal: end.signal, result: end.result },
          failure: failure && { ...failure, at: time(failure.at) },
        }),
      )
    },
  }
}
