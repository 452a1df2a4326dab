/** The pages of the documentation in pieces, and the terminals of somebody who reads them. */
import * as fs from "node:fs"
import * as path from "node:path"
import { killPid } from "../process/killPid.js"
import type { Place } from "./program.js"

/** The directory of the package. */
export const root = path.resolve(import.meta.dirname, "../..")

/** A page by its path in the package. */
export const page = (file: string): string => fs.readFileSync(path.join(root, file), "utf8")

/** Every page there is: README.md, and what is under docs/. */
export const pages: ReadonlyArray<string> = [
  "README.md",
  ...fs
    .readdirSync(path.join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => path.join("docs", file))
    .sort(),
]

/** The fenced blocks of a language, in their order. */
export const blocks = (text: string, language: string): ReadonlyArray<string> =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map(([, code]) => code!)

/** What is written as code within the lines of a page, cells of tables included. */
export const spans = (text: string): ReadonlyArray<string> =>
  [...text.replaceAll(/^```.*?^```$/gms, "").matchAll(/`([^`\n]+)`/g)].map(([, code]) =>
    code!.replaceAll("\\|", "|"),
  )

/** As GitHub makes an anchor of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, "")
    .replaceAll(" ", "-")

/** The anchors of a page. */
export const anchors = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading!.replaceAll("`", "")))

/** Where the links of a page lead to that stay in the package. */
export const links = (text: string): ReadonlyArray<{ readonly file: string; readonly anchor: string }> =>
  [...text.replaceAll(/^```.*?^```$/gms, "").matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^\w+:/.test(target))
    .map((target) => {
      const [file = "", anchor = ""] = target.split("#")
      return { file, anchor }
    })

/** What npm would say besides, and where the example would keep its data. */
const settings = (here: Place): string =>
  [
    `cd '${root}'`,
    "export npm_config_update_notifier=false npm_config_logs_max=0",
    `export EXAMPLE_DATA='${here.base}/data.json'`,
    "",
  ].join("\n")

/** A command that lasts, in a terminal of its own; `interrupt` is what Ctrl-C does there. */
export const foreground = (here: Place, script: string) => {
  // Like the shell of a terminal, this one goes on when what it runs is interrupted, and ends with its code.
  const lines = `trap : INT\n${settings(here)}${script}`
  const started = here.start([], { command: ["setsid", "sh", "-c", lines] })
  return { ...started, interrupt: () => void killPid(-started.pid, "SIGINT") }
}

/** A terminal in which one block is run after the other. */
export const terminal = (here: Place) => {
  const shell = here.start([], { command: ["sh"], stdin: "pipe" })
  const tell = (line: string) => void shell.child.stdin!.write(`${line}\n`)
  tell(settings(here))
  tell("exec 2>&1")
  let count = 0
  return {
    /** Runs a block to its end; answers what came of its last command, and all that was written. */
    run: async (script: string): Promise<{ readonly code: number; readonly out: string }> => {
      count += 1
      const file = path.join(here.base, `block-${count}.sh`)
      fs.writeFileSync(file, script)
      const from = shell.said.out.length
      tell(`. '${file}' </dev/null`)
      tell(`printf '\\n%s %s\\n' 'end-${count}' "$?"`)
      const end = await shell.out(new RegExp(`\\nend-${count} (\\d+)\\n`), from)
      return { code: Number(end[1]), out: shell.said.out.slice(from, from + end.index) }
    },
    close: async (): Promise<void> => {
      shell.child.stdin!.end()
      await shell.done
    },
  }
}
