/** What the parts of a run share. */
import type { Daemon, Life } from "./daemon.js"
import type { Desires } from "./desires.js"
import type { Model } from "./model.js"
import type { Place } from "./place.js"
import type { Watch } from "./processes.js"
import type { Shortages } from "./faults.js"
import type { Verdicts } from "./verdicts.js"

/** Everything that a run has. */
export interface World {
  readonly place: Place
  readonly daemon: Daemon
  readonly watch: Watch
  readonly model: Model
  readonly verdicts: Verdicts
  readonly shortages: Shortages
  readonly desires: Desires
  /** What a time may be exceeded by on this machine, in milliseconds. */
  readonly slack: number
  /** What was answered, by what was asked and the code: how often. */
  readonly answers: Map<string, number>
  /** The daemon is being killed, ended or started. */
  isChanging: boolean
  /** When a keeper was killed last, by the steady clock. */
  keeperKilledAt: number
  readonly log: (text: string) => void
}

/** Whether the daemon is the one that it was, and nobody is about to end it. */
export const isSame = ({ daemon, isChanging }: World, life: Life | undefined): boolean =>
  life !== undefined && daemon.life === life && !isChanging

/** Resolves after so many milliseconds. */
export const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))
