/**
 * Which process it is. A pid alone is handed out again after its process is gone; together with the kernel's start
 * time and the boot id it names one process for ever.
 */
import * as Schema from "effect/Schema"

/** One process of one boot of one machine. */
export class ProcessIdentity extends Schema.Class<ProcessIdentity>("ProcessIdentity")({
  pid: Schema.Int,
  /**
   * When the kernel started it, in the kernel's own words: clock ticks since boot on Linux, a date on macOS. To be
   * compared, not to be read.
   */
  startTime: Schema.String,
  /** The boot it belongs to. */
  bootId: Schema.String,
}) {}

/** Whether both name the same process. */
export const isSame = (a: ProcessIdentity, b: ProcessIdentity): boolean =>
  a.pid === b.pid && a.startTime === b.startTime && a.bootId === b.bootId
