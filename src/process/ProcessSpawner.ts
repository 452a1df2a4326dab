/** Starts processes. The only place in Holdfast where one comes to life. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { InvalidSpec } from "./InvalidSpec.js"
import type { Process } from "./Process.js"
import type { Hub } from "./ProcessOutput.js"
import type * as ProcessSpec from "./ProcessSpec.js"
import type { SpawnError } from "./SpawnError.js"

/** Options of `spawn`. */
export interface SpawnOptions {
  /** Where output goes; give one that already has listeners, so that they miss nothing. */
  readonly output?: Hub
}

/** Starts processes, each bound to the scope it is spawned in. */
export class ProcessSpawner extends Context.Tag("holdfast/process/ProcessSpawner")<
  ProcessSpawner,
  {
    /** The unguessable id of this program run; every child has it as `HOLDFAST_OWNER`. */
    readonly owner: string
    /**
     * Starts a process in a session and group of its own. Closing the scope stops it (SPEC: stop signal, grace,
     * KILL, until the group is empty) and waits for that, whatever way the scope closes.
     */
    readonly spawn: (
      spec: ProcessSpec.Input,
      options?: SpawnOptions,
    ) => Effect.Effect<Process, InvalidSpec | SpawnError, Scope.Scope>
  }
>() {}
