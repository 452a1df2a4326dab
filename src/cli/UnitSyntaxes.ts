/** The commands that are about units, some of them also about jobs, and what may be written behind them. */
import { name, names, nothing, reconnects, signals, stream } from "./SharedSyntax.js"
import type { Options } from "./Syntax.js"
import { define } from "./Syntax.js"

/** Which of the two a name is of, where it could be both. */
const which = {
  unit: { kind: "flag", help: "these are names of units only" },
  job: { kind: "flag", help: "these are ids of jobs only" },
} as const satisfies Options

const file = {
  kind: "text",
  short: "f",
  value: "FILE",
  help: "the configuration (default holdfast.yaml, else holdfast.yml, here)",
} as const

/** What units add to the options of output. */
const output = {
  since: {
    kind: "text",
    value: "TIME",
    help: "of units: only what came within this time, or since a date",
  },
  timestamps: { kind: "flag", help: "of units: show when each line came" },
  stream,
  attempt: { kind: "count", value: "N", help: "of a job: which attempt (default the last)" },
  ...which,
} as const satisfies Options

const unitOutput = [
  "The lines of several units are put together by their times, each behind its unit's name: `|` for its standard",
  "output, `:` for its standard error. All of it goes to standard output.",
]

const upOrFailed = "Returns when the units are up (a oneshot: done), or with 1 when one has failed."

export const serve = define({
  name: "serve",
  summary: "run the daemon that keeps the jobs, and the units of a configuration file",
  positionals: nothing,
  options: {
    file: {
      ...file,
      help: "keep the units of this configuration up, too (default: none)",
    },
    bind: {
      kind: "text",
      value: "ADDR",
      help: "HOST:PORT (default 127.0.0.1:19263), unix:PATH, or auto: any port if that one is taken",
    },
    "no-auth": { kind: "flag", help: "ask for no token; only on a loopback address" },
    "log-level": {
      kind: "text",
      value: "LEVEL",
      among: ["debug", "info", "warning", "error", "none"],
      help: "what is logged on standard error (default info)",
    },
    "log-json": { kind: "flag", help: "say everything as log lines of JSON" },
    "keep-for": {
      kind: "time",
      value: "TIME",
      help: "delete jobs that ended longer ago (default: keep all)",
    },
    keep: { kind: "count", value: "N", help: "delete ended jobs beyond the last N" },
    "keep-size": {
      kind: "size",
      value: "SIZE",
      help: "delete the oldest beyond so many bytes of output in total",
    },
  },
  notes: [
    "Jobs go on running when the daemon ends; the next one finds them again. Units are stopped, each before what it",
    "needs. Ctrl-C and TERM end the daemon; a second Ctrl-C kills the units that have not stopped yet, a third",
    "everything at once. With -f, HUP reads the configuration again, as holdfast reload does.",
  ],
})

export const up = define({
  name: "up",
  summary: "keep the units of a configuration up in the foreground, without a daemon",
  positionals: { name: "NAME...", count: "any" },
  options: {
    file,
    timestamps: { kind: "flag", short: "t", help: "show when each line came" },
  },
  notes: [
    "Starts the units named, with what they need; without names all but those that say autostart: false. What they",
    "write goes to standard output, each line behind its unit's name: `|` for its standard output, `:` for its",
    "standard error. What happens to them goes to standard error. With --json both are lines of JSON.",
    "",
    "Ctrl-C, TERM and HUP stop all of them, each before what it needs; a second Ctrl-C kills those that have not",
    "stopped yet, a third everything at once.",
    "",
    "Nobody else can ask about them; for holdfast status, logs and the like there is holdfast serve -f.",
    "",
    "Exits with 0 when all has stopped because it was told to, or because every unit has done its work; with 1 when",
    "nothing is up any more and a unit has failed; with 130 after a third Ctrl-C.",
  ],
})

export const check = define({
  name: "check",
  summary: "look whether a configuration file can be used",
  positionals: nothing,
  options: { file },
  notes: ["Exits with 1, and says what is wrong where, when it cannot. Nothing is started."],
})

export const down = define({
  name: "down",
  summary: "end the daemon: units stop in order, jobs go on",
  positionals: nothing,
  options: {
    grace: {
      kind: "time",
      value: "TIME",
      help: "from a unit's stop signal to KILL (default: each unit's own); 0 hastens a stop under way",
    },
  },
  notes: ["Returns when the daemon, and every process of its units, is gone."],
})

export const start = define({
  name: "start",
  summary: "start units, and what they need; let prepared jobs start",
  positionals: names,
  options: which,
  notes: [upOrFailed],
})

export const restart = define({
  name: "restart",
  summary: "stop units or jobs that run, and start them anew",
  positionals: names,
  options: which,
  notes: [upOrFailed, "A job runs once more as a new one, whose id is printed."],
})

export const stop = define({
  name: "stop",
  summary: "stop units or jobs: their stop signal, then KILL",
  positionals: names,
  options: {
    grace: { kind: "time", value: "TIME", help: "from the signal to KILL (default: each one's own)" },
    ...which,
  },
  notes: ["Units that need them are stopped first. Prints all that was stopped, when nothing of it is left."],
})

export const kill = define({
  name: "kill",
  summary: "send any signal to all processes of units or jobs",
  positionals: names,
  options: {
    signal: {
      kind: "text",
      short: "s",
      value: "NAME",
      words: signals,
      help: "such as TERM (default), INT, HUP, USR1, KILL",
    },
    grace: {
      kind: "time",
      value: "TIME",
      help: "of a job: from a signal that asks it to end to KILL (default: its own)",
    },
    "no-escalate": { kind: "flag", help: "of a job: send the signal once, and no KILL after it" },
    ...which,
  },
  notes: [
    "A unit that ends of it is started again if its restart policy says so; to have it stay down, stop it.",
  ],
})

export const status = define({
  name: "status",
  summary: "tell how units and jobs are",
  positionals: { name: "NAME|ID", count: "optional", among: "names" },
  options: {
    ...which,
    quiet: { kind: "flag", short: "q", help: "without a name: only the names of the units" },
  },
  notes: ["Without a name it lists the units, and the jobs that run."],
})

export const tail = define({
  name: "tail",
  summary: "show the end of the output of units, or of a job",
  positionals: names,
  options: {
    follow: { kind: "flag", short: "f", help: "go on as it comes; of a job until it ends" },
    lines: {
      kind: "count",
      short: "n",
      value: "N",
      help: "how many lines of each unit, or of each stream of a job (default 50)",
    },
    ...output,
  },
  notes: [...unitOutput, reconnects],
})

export const logs = define({
  name: "logs",
  summary: "show the output of units, or of a job",
  positionals: names,
  options: {
    follow: { kind: "flag", short: "f", help: "go on as it comes; of a job until it ends" },
    lines: { kind: "count", short: "n", value: "N", help: "only so many of the last lines (default: all)" },
    ...output,
  },
  notes: [
    ...unitOutput,
    "A job's standard output goes to standard output, byte by byte, and its standard error to standard error.",
    reconnects,
  ],
})

export const why = define({
  name: "why",
  summary: "explain why a unit is not up, or why a job has not started",
  positionals: name,
  options: which,
})

export const graph = define({
  name: "graph",
  summary: "show what the units need, and where each of them is",
  positionals: nothing,
  options: {
    dot: { kind: "flag", help: "as a graph for Graphviz" },
    mermaid: { kind: "flag", help: "as a Mermaid diagram" },
  },
})

export const reload = define({
  name: "reload",
  summary: "have the daemon read its configuration again",
  positionals: nothing,
  options: { "dry-run": { kind: "flag", help: "only say what would be done" } },
  notes: [
    "Stops what is not in it any more, restarts what has changed, starts what is new, and touches nothing else. A",
    "configuration that cannot be used changes nothing. Exits with 1 then, and when a unit that was started failed.",
  ],
})
