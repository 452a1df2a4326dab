import * as fs from "node:fs"
import * as path from "node:path"
import { describe, expect, it } from "vitest"
import { run, scratch } from "./support.js"

const write = (directory: string, text: string, name = "holdfast.yaml") =>
  fs.writeFileSync(path.join(directory, name), text)

describe("check", () => {
  it("shows the units in the order of their start", async () => {
    using here = scratch()
    write(
      here.directory,
      `
units:
  web: { command: serve, port: 8080, ports: [8443], requires: { db: started }, after: [seed] }
  db: { command: db, port: auto, autostart: false }
  seed: { kind: oneshot, command: seed }
`,
      "holdfast.yml",
    )
    const { code, err, out } = await run(["check"], { cwd: here.directory })
    expect({ code, err }).toEqual({ code: 0, err: "" })
    expect(out).toBe(
      [
        "holdfast.yml can be used: 3 units, in the order of their start.",
        "NAME  KIND     PORT        STARTS        AFTER",
        "seed  oneshot",
        "db    service  auto        by name only",
        "web   service  8080, 8443                seed, db: started",
        "",
      ].join("\n"),
    )
    const json = JSON.parse((await run(["check", "--json"], { cwd: here.directory })).out)
    expect(json).toMatchObject({
      type: "check",
      valid: true,
      file: path.join(here.directory, "holdfast.yml"),
      units: [{ name: "seed" }, { name: "db", autostart: false }, { name: "web", kind: "service" }],
    })
  })

  it("shows every fault in a line of its own, as compilers do", async () => {
    using here = scratch()
    write(
      here.directory,
      "units:\n  web: { command: x, requires: [databse] }\n  database: { command: y, prot: 1 }\n",
      "a.yaml",
    )
    expect(await run(["check", "-f", "a.yaml"], { cwd: here.directory })).toMatchObject({
      code: 1,
      out: "",
      err: [
        'a.yaml:2:33: units.web.requires.databse: there is no unit "databse"; did you mean database?',
        "a.yaml:3:27: units.database.prot: there is no such key; did you mean port?",
        "holdfast: a.yaml has 2 faults.",
        "",
      ].join("\n"),
    })
    const { code, err, out } = await run(["check", "-f", "a.yaml", "--json"], { cwd: here.directory })
    expect({ code, err }).toEqual({ code: 1, err: "" })
    expect(JSON.parse(out)).toMatchObject({
      valid: false,
      file: "a.yaml",
      faults: [{ line: 2 }, { line: 3 }],
    })
  })

  it("says what is missing", async () => {
    using here = scratch()
    expect(await run(["check"], { cwd: here.directory })).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^holdfast: There is no holdfast\.yaml and no holdfast\.yml in /),
    })
    expect(await run(["check", "-f", "none.yaml"], { cwd: here.directory })).toMatchObject({
      code: 1,
      err: 'holdfast: The configuration file "none.yaml" cannot be used: it does not exist.\n',
    })
    expect(await run(["check", "none.yaml"], { cwd: here.directory })).toMatchObject({ code: 2 })
  })

  it("tells no secret", async () => {
    using here = scratch()
    write(here.directory, 'units: { web: { command: "x ${TOKEN}", port: "${TOKEN}" } }')
    const env = { TOKEN: "hunter2" }
    const { err, out } = await run(["check"], { cwd: here.directory, env })
    expect(err).toMatch(/units\.web\.port/)
    expect(out + err).not.toContain("hunter2")
  })
})

describe("schema config", () => {
  it("is the JSON Schema of the file", async () => {
    const { code, out } = await run(["schema", "config"])
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ $schema: expect.stringContaining("json-schema.org") })
  })
})
