/** What a server offers. See `Server` for how one is made. */
import type * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import type * as Duration from "effect/Duration"
import type { UnitLog } from "../output/UnitLog.js"
import type { UnitNotStopped } from "../unit/SupervisorError.js"
import type { EndStatus } from "../unit/UnitStatus.js"
import type { Handle, HealthOptions } from "./Handle.js"
import type { AcquireError } from "./HandleError.js"
import type * as RecursionGuard from "./RecursionGuard.js"
import type { ServerError } from "./ServerError.js"
import type { ServerInfo, ServerStatus } from "./ServerStatus.js"

/** A server. */
export interface Server {
  readonly name: string
  /** Gives the server as it is now, once it answers. */
  readonly handle: Handle<ServerInfo, ServerError>
  /** Sees to it that it is up. One that is up already, and answers, is left alone. */
  readonly start: Effect.Effect<ServerStatus, AcquireError<ServerError>>
  /**
   * Stops what was started here, with its whole group, and gives up a start that is under way: whoever waits for that gets
   * `ServerNotStarted`. What was not started here is left alone, as is what has ended by itself, and its status given.
   */
  readonly stop: Effect.Effect<ServerStatus, UnitNotStopped>
  /** Where it is; a server that should be up is asked. It changes nothing. */
  readonly status: Effect.Effect<ServerStatus>
  /** Its output, over all its lives; undefined for somebody else's. */
  readonly log: UnitLog | undefined
}

/** A life of a managed server that is over. */
export interface ServerDown {
  readonly name: string
  readonly baseUrl?: string
  readonly pid?: number
  /** How it ended by itself; absent when it is being stopped. */
  readonly end?: EndStatus
  /** Why, as the rest of a sentence: `it ended with signal SIGKILL`. */
  readonly reason: string
}

/** How a server is looked after, beside what it is. */
export interface Options {
  /**
   * Run once for each process of a managed server, when that is out of service: as soon as it has ended, or is being
   * stopped, and the handle does not give it any more. The next one does not wait for it.
   */
  readonly onDown?: ((down: ServerDown) => Effect.Effect<void>) | undefined
  /** Checks without being asked; see `Handle.HealthOptions`. The failure threshold is 3 unless told otherwise. */
  readonly health?: HealthOptions<ServerInfo> | undefined
  /** Stops a managed server that nobody has used for so long. Default: never. */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /** Keeps a program that such a server has started from starting another one; `false` turns that off. */
  readonly guard?: RecursionGuard.Options | false | undefined
  /** The pauses between the attempts of a start. Default: two attempts, the second one at once. */
  readonly attempts?: Schedule.Schedule<unknown> | undefined
  /** The pauses after starts that have failed. See `Handle.Options.backoff`. */
  readonly backoff?: Schedule.Schedule<unknown> | undefined
  /** Where logs are kept, and the records by which the next program finds what a crash left. Default: in memory only. */
  readonly root?: string | undefined
}
