/** The daemon's wall clock, which is set by a library that stands in for the system's (Debian's `libfaketime`). */
import * as fs from "node:fs"
import * as path from "node:path"

const places = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(
  (triplet) => `/usr/lib/${triplet}/faketime/libfaketimeMT.so.1`,
)

/** The library, if it is installed. */
export const library = (): string | undefined => places.find((place) => fs.existsSync(place))

/** A clock of its own for every daemon of a run. */
export class Clock {
  private readonly file: string

  constructor(
    private readonly preload: string,
    directory: string,
  ) {
    this.file = path.join(directory, "clock")
    this.set(0)
  }

  /** From now on it is off by so many seconds. The library looks once a second. */
  set(seconds: number): void {
    // In one piece: whoever reads it must not see half of it.
    fs.writeFileSync(`${this.file}.next`, `${seconds < 0 ? "-" : "+"}${Math.abs(seconds)}\n`)
    fs.renameSync(`${this.file}.next`, this.file)
  }

  /** What a daemon needs in its environment. Only the wall clock is set: nobody can set the steady one. */
  get variables(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: this.preload,
      FAKETIME_TIMESTAMP_FILE: this.file,
      FAKETIME_CACHE_DURATION: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      DONT_FAKE_MONOTONIC: "1",
      NO_FAKE_STAT: "1",
    }
  }
}
