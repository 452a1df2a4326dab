import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { describe, expect, it } from "vitest"
import { run, scratch } from "./support.js"

const scriptFor = async (shell: string) => {
  const { code, err, out } = await run(["completions", shell])
  expect({ code, err }).toEqual({ code: 0, err: "" })
  return out
}

const has = (shell: string) => spawnSync(shell, ["-c", "true"]).status === 0

describe("completions", () => {
  it.runIf(has("bash"))("complete in bash", async () => {
    using directory = scratch()
    const file = path.join(directory.directory, "completions")
    fs.writeFileSync(file, await scriptFor("bash"))
    const complete = (...words: ReadonlyArray<string>) => {
      const script = `
        holdfast() { if [ "$*" = "list -q" ]; then echo 01AAA 01BBB; elif [ "$*" = "ps -aq" ]; then echo web 01AAA; fi; }
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _holdfast
        printf '%s\\n' "\${COMPREPLY[@]}"`
      return execFileSync("bash", ["-c", script, "bash", file, ...words], {
        encoding: "utf8",
        cwd: directory.directory,
      })
        .split("\n")
        .filter((word) => word !== "")
    }
    expect(complete("holdfast", "sta")).toEqual(["start", "status"])
    expect(complete("holdfast", "")).toEqual(expect.arrayContaining(["run", "doctor", "--help"]))
    expect(complete("holdfast", "run", "--ti")).toEqual(["--timeout"])
    expect(complete("holdfast", "run", "--w")).toEqual(["--wait", "--when-log-full"])
    expect(complete("holdfast", "list", "--state", "r")).toEqual(["running"])
    expect(complete("holdfast", "list", "-s", "r")).toEqual(["running"])
    expect(complete("holdfast", "list", "--state", "=")).toContain("queued")
    expect(complete("holdfast", "list", "--state", "=", "ru")).toEqual(["running"])
    expect(complete("holdfast", "list", "--state=ru")).toEqual(["--state=running"])
    expect(complete("holdfast", "kill", "-s", "US")).toEqual(["USR1", "USR2"])
    expect(complete("holdfast", "help", "sta")).toEqual(["start", "status"])
    expect(complete("holdfast", "run", "--tag", "")).toEqual([])
    expect(complete("holdfast", "run", "--stdin-file", "comp")).toEqual(["completions"])
    expect(complete("holdfast", "group", "pa")).toEqual(["pause"])
    expect(complete("holdfast", "wait", "01B")).toEqual(["01BBB"])
    expect(complete("holdfast", "restart", "w")).toEqual(["web"])
    expect(complete("holdfast", "up", "-f", "comp")).toEqual(["completions"])
    expect(complete("holdfast", "run", "--", "ech")).toContain("echo")
    expect(complete("holdfast", "run", "--", "cat", "comp")).toEqual(["completions"])
  })

  it.runIf(has("zsh"))("are understood by zsh", async () => {
    expect(spawnSync("zsh", ["-n"], { input: await scriptFor("zsh"), encoding: "utf8" }).stderr).toBe("")
  })

  it.runIf(has("fish"))("are understood by fish", async () => {
    expect(spawnSync("fish", ["-n"], { input: await scriptFor("fish"), encoding: "utf8" }).stderr).toBe("")
  })

  it("name every command and option in each shell's language", async () => {
    const [zsh, fish] = [await scriptFor("zsh"), await scriptFor("fish")]
    expect(zsh).toContain("'status:tell how units and jobs are'")
    expect(zsh).toContain("'*'{--tag,-t}'[a word to find it by]:WORD: '")
    expect(zsh).toContain(
      "'--stop-signal[what a timeout and a stop send first (default TERM)]:SIGNAL:(TERM INT ",
    )
    expect(fish).toContain(
      "complete -c holdfast -n __fish_use_subcommand -a status -d 'tell how units and jobs are'",
    )
    expect(fish).toMatch(/__fish_seen_subcommand_from list' -l state -s s -x -a 'created queued running/)
  })

  it("are refused for a shell that there is not", async () => {
    expect(await run(["completions", "bsh"])).toMatchObject({
      code: 2,
      err: 'holdfast: there are no completions for "bsh"; did you mean bash?\n',
    })
  })
})
