/** Which program runs OpenCode, and with which arguments before `serve`. */
import { describe, expect, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Launcher from "../../../src/handle/presets/OpenCodeLauncher.js"

const make = (input: Launcher.Input, environment: Launcher.Environment) =>
  Launcher.make(input, environment, (text) => text.replaceAll("s3cret", "***"))

const command = (input: Launcher.Input, environment: Launcher.Environment) =>
  Either.getOrThrow(make(input, environment))

describe("OpenCodeLauncher", () => {
  it("is opencode on PATH when nobody says another one, blank variables included", () => {
    expect(command({}, {})).toEqual(["opencode"])
    expect(command({}, { OPENCODE_BINARY: "  ", OPENCODE_BINARY_ARGS: " " })).toEqual(["opencode"])
    expect(command({ binary: undefined, binaryArgs: undefined }, {})).toEqual(["opencode"])
  })

  it("is what OPENCODE_BINARY and OPENCODE_BINARY_ARGS say", () => {
    expect(
      command({}, { OPENCODE_BINARY: " bunx ", OPENCODE_BINARY_ARGS: "--yes 'opencode-ai@1.18.33'" }),
    ).toEqual(["bunx", "--yes", "opencode-ai@1.18.33"])
    expect(command({}, { OPENCODE_BINARY_ARGS: "--print-logs" })).toEqual(["opencode", "--print-logs"])
  })

  it("takes a path as one from here, as its server may work elsewhere", () => {
    expect(command({}, { OPENCODE_BINARY: "bin/opencode" })).toEqual([`${process.cwd()}/bin/opencode`])
    expect(command({ binary: "./opencode" }, {})).toEqual([`${process.cwd()}/opencode`])
    expect(command({ binary: "/opt/opencode" }, {})).toEqual(["/opt/opencode"])
  })

  it("is what the caller says before what the variables say; their arguments are for their program only", () => {
    const environment = { OPENCODE_BINARY: "bunx", OPENCODE_BINARY_ARGS: "--yes opencode-ai" }
    expect(command({ binary: "/opt/opencode" }, environment)).toEqual(["/opt/opencode"])
    expect(command({ binary: "npx", binaryArgs: ["-y", "opencode-ai"] }, environment)).toEqual([
      "npx",
      "-y",
      "opencode-ai",
    ])
    expect(command({ binaryArgs: ["--silent"] }, environment)).toEqual(["bunx", "--silent"])
  })

  it("names the variable whose words cannot be told apart, and shows no secret", () => {
    const { message } = Either.getOrThrow(
      Either.flip(make({}, { OPENCODE_BINARY_ARGS: "--token s3cret 'opencode" })),
    )
    expect(message).toBe(
      'The launcher of OpenCode cannot be used. OPENCODE_BINARY_ARGS: got "--token *** \'opencode"; expected an end to the single quote at character 16.',
    )
  })

  it("looks at nothing of the variables that it does not need", () => {
    expect(command({ binary: "x" }, { OPENCODE_BINARY_ARGS: "'" })).toEqual(["x"])
  })
})
