/** The table of processes of the system that this runs on. */
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as LinuxProcessTable from "./LinuxProcessTable.js"
import * as MacProcessTable from "./MacProcessTable.js"
import type { ProcessTable } from "./ProcessTable.js"

/** Holdfast does not run on this system. */
export class UnsupportedPlatform extends Schema.TaggedError<UnsupportedPlatform>()("UnsupportedPlatform", {
  platform: Schema.String,
}) {
  override get message(): string {
    return `Holdfast runs on Linux and macOS; it does not run on ${this.platform} yet.`
  }
}

/** The table of processes of the system this runs on. */
export const layer: Layer.Layer<ProcessTable> = Layer.suspend(() => {
  switch (process.platform) {
    case "linux":
      return LinuxProcessTable.layer
    case "darwin":
      return MacProcessTable.layer
    default:
      return Layer.die(new UnsupportedPlatform({ platform: process.platform }))
  }
})
