import * as fs from "node:fs"
import * as path from "node:path"
import { describe, expect, it } from "vitest"
import { ownerOf, rootOf, rootOption, tokenOf } from "../../src/cli/Root.js"
import { scratch } from "./support.js"

const rootIn = (env: Record<string, string>, option?: string) => rootOf(option, { cwd: "/here", env })

describe("rootOf", () => {
  it("takes the option before the variable before the XDG directory before the home", () => {
    const env = { HOME: "/home/me", XDG_STATE_HOME: "/state", HOLDFAST_ROOT: "/root/of" }
    expect(rootIn(env, "sub")).toBe("/here/sub")
    expect(rootIn(env)).toBe("/root/of")
    expect(rootIn({ ...env, HOLDFAST_ROOT: "" })).toBe("/state/holdfast")
    expect(rootIn({ HOME: "/home/me", XDG_STATE_HOME: "relative" })).toBe("/home/me/.local/state/holdfast")
    expect(() => rootIn(env, "")).toThrow("--root is empty; name a directory.")
  })

  it("is named in hints only where that is needed", () => {
    const world = { cwd: "/here", env: { HOLDFAST_ROOT: "/a" } }
    expect(rootOption("/a", world)).toBe("")
    expect(rootOption("/b", world)).toBe(" --root /b")
  })
})

describe("what a daemon leaves", () => {
  it("is read if it makes sense", () => {
    using root = scratch()
    const file = path.join(root.directory, "daemon.json")
    expect(ownerOf(root.directory)).toBeUndefined()
    for (const text of ["", "{", "null", "[]", '{"pid":"1"}', '{"pid":1,"address":2}']) {
      fs.writeFileSync(file, text)
      expect(ownerOf(root.directory)).toBeUndefined()
    }
    fs.writeFileSync(file, '{"pid":1,"since":2}')
    expect(ownerOf(root.directory)).toEqual({ pid: 1, since: 2 })
    expect(tokenOf(root.directory)).toBeUndefined()
    fs.mkdirSync(path.join(root.directory, "token"))
    expect(() => tokenOf(root.directory)).toThrow(/cannot be read \(EISDIR\)/)
  })
})
