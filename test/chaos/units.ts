/** The units of a run: small programs, each with a way of its own to be hard to keep, and what reloads make of them. */

const quick = { backoff: { initial: "50ms", max: "500ms" }, maxFailures: 1_000_000, stableAfter: "2s" }
const stop = { grace: "300ms" }

/** How many configurations there are; the last one cannot be used. */
export const variants = 6

/** Units of every configuration that can be used. */
export const unitNames = [
  "prepare",
  "sleeper",
  "family",
  "deaf",
  "escapee",
  "double",
  "flooder",
  "crasher",
  "brittle",
  "web",
  "client",
  "day",
  "night",
  "first",
  "last",
  "spare",
  "all",
] as const

/** Units that may be down after a start of all of them, and what for. */
export const mayFail: ReadonlyMap<string, string> = new Map([
  ["crasher", "it crashes again and again"],
  ["brittle", "it is given up after a few crashes"],
  ["day", "it conflicts with night"],
  ["night", "it conflicts with day"],
  ["spare", "nobody starts it but by name"],
])

/**
 * What every script begins with. It looks whether anything of the instance before it is alive, as pid and start time
 * say, tells of it in the ledger, and notes itself. `note PID` adds a process that could outlive its leader.
 */
export const prelude = `
ledger=$1 unit=$HOLDFAST_UNIT members=$1.$HOLDFAST_UNIT mark=\${HOLDFAST_LINEAGE##* }
begun() {
  begun= state=
  read -r text < "/proc/$1/stat" || return 0
  set -- \${text##*) }
  state=$1
  shift 19
  begun=$1
}
note() { begun "$1"; echo "$1 $begun" >> "$members"; }
if [ -d /proc/self ]; then
  if [ -e "$members" ]; then
    while read -r pid start; do
      begun "$pid" 2> /dev/null
      case $state in ''|Z|X) continue ;; esac
      [ "$begun" = "$start" ] && echo "two $unit $pid $$ $mark" >> "$ledger"
    done < "$members"
  fi
  begun $$
  echo "$$ $begun" > "$members"
fi
`

const scripts = {
  prepare: `sleep 0.02`,
  sleeper: `exec sleep 600`,
  family: `sleep 600 & note $!; (sleep 600 & sleep 600 & wait) & note $!; wait`,
  deaf: `trap '' TERM INT HUP; while :; do sleep 1; done`,
  escapee: `setsid sleep 600 & note $!; exec sleep 600`,
  double: `(setsid sh -c 'sleep 600 & sleep 600' &) ; exec sleep 600`,
  flooder: `text=$(head -c 4000 /dev/zero | tr '\\0' x)
while :; do for i in 1 2 3 4 5 6 7 8; do echo "$i $text"; echo "$i" >&2; done; sleep 0.1; done`,
  crasher: `sleep 0.1; exit 3`,
  brittle: `sleep 0.05; exit 4`,
  plain: `exec sleep 600`,
} as const

/** A web server that answers, or does not when it is stopped, and ends when it is told to. */
export const webProgram = `
import { createServer } from "node:http"
const server = createServer((_, answer) => answer.end("ok"))
server.listen(Number(process.env.PORT), "127.0.0.1")
process.on("SIGTERM", () => process.exit(0))
process.on("SIGHUP", () => {})
process.on("SIGINT", () => process.exit(0))
process.on("SIGUSR1", () => {})
`

/** Where the programs are, and the ledger. */
export interface Files {
  readonly directory: string
  readonly ledger: string
}

/** The files that the units need, by name. */
export const programs = (): ReadonlyMap<string, string> =>
  new Map([
    ...Object.entries(scripts).map(([name, text]) => [`${name}.sh`, `${prelude}${text}\n`] as const),
    ["web.sh", `${prelude}exec ${JSON.stringify(process.execPath)} "$(dirname "$0")/web.mjs"\n`] as const,
    ["web.mjs", webProgram] as const,
  ])

/** One of the configurations, as the text of a `holdfast.yaml` (JSON, which YAML includes). */
export const configuration = (variant: number, { directory, ledger }: Files): string => {
  if (variant === variants - 1) return "units: { sleeper: { command: [sleep, 600], requires: [nobody] } }\n"
  const common = {
    // Only the daemon's clock is set.
    env: { LD_PRELOAD: "", VARIANT: "0" },
    minUptime: "30ms",
    stop,
    restart: quick,
    startTimeout: "5s",
    logs: { lines: 100, maxSize: "64KB", maxFiles: 2 },
  }
  const command = (script: string) => ["/bin/sh", `${directory}/${script}.sh`, ledger]
  const unit = (script: string, more: object = {}) => ({ ...common, command: command(script), ...more })
  const changed = (number: number) => ({ env: { ...common.env, VARIANT: String(number) } })
  const { minUptime: _, startTimeout: __, ...oneshot } = common
  const probe = { http: { path: "/" }, period: "300ms", timeout: "1s" }
  const units: Record<string, unknown> = {
    prepare: { ...oneshot, kind: "oneshot", command: command("prepare") },
    sleeper: unit("sleeper", variant === 1 ? changed(1) : {}),
    family: unit("family", { requires: ["prepare"], ...(variant === 2 && changed(2)) }),
    deaf: unit("deaf", variant === 3 ? changed(3) : {}),
    escapee: unit("escapee"),
    double: unit("double", variant === 1 ? { restart: { ...quick, policy: "always" } } : {}),
    flooder: unit("flooder"),
    crasher: unit("crasher"),
    brittle: unit("brittle", { restart: { ...quick, maxFailures: 3 } }),
    web: {
      ...unit("web", variant === 2 ? changed(2) : {}),
      port: "auto",
      host: "127.0.0.1",
      readiness: { ...probe, failureThreshold: 2 },
      liveness: { ...probe, failureThreshold: 2 },
      env: { ...common.env, PORT: "${port}", VARIANT: variant === 2 ? "2" : "0" },
    },
    client: unit("plain", { bindsTo: ["web"] }),
    day: unit("plain", { conflicts: ["night"] }),
    night: unit("plain", { autostart: false }),
    first: unit("plain"),
    last: unit("plain", variant === 3 ? changed(3) : {}),
    spare: unit("plain", { autostart: false }),
    ...(variant === 4 && { extra: unit("plain"), another: unit("escapee", { requires: ["extra"] }) }),
    all: { kind: "target", requires: ["sleeper", "client", "family"] },
  }
  const groups = { pair: { strategy: "one-for-all", units: ["first", "last"] } }
  return `${JSON.stringify({ units, groups }, undefined, 1)}\n`
}
