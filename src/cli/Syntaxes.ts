/** Every command that the program has, and what may be written behind it. */
import { job, jobs, nothing, reconnects, signals, stream } from "./SharedSyntax.js"
import type { Options, Syntax } from "./Syntax.js"
import { define } from "./Syntax.js"
import {
  check,
  down,
  graph,
  kill,
  logs,
  reload,
  restart,
  serve,
  start,
  status,
  stop,
  tail,
  up,
  why,
} from "./UnitSyntaxes.js"

export * from "./UnitSyntaxes.js"

const states = ["created", "queued", "running", "exited", "killed", "failed", "lost"] as const

/** How a job is to be run: the options that `run` and `create` share. */
const asked = {
  cwd: { kind: "text", value: "DIR", help: "run it there (default: here)" },
  env: {
    kind: "text",
    short: "e",
    value: "K[=V]",
    many: true,
    help: "a variable; K alone passes the value it has here",
  },
  // Not --env-file: Node 20 takes that for its own wherever it stands, and reads the file into this program.
  "env-from": { kind: "text", value: "FILE", many: true, help: "variables from a file of K=V lines" },
  "copy-env": { kind: "flag", help: "give it all variables from here, in place of the daemon's" },
  mask: { kind: "text", value: "K", many: true, help: "a variable whose value is never shown or kept" },
  stdin: { kind: "flag", help: "give it what this command reads on its standard input" },
  "stdin-file": { kind: "text", value: "FILE", help: "let it read this file" },
  timeout: { kind: "time", value: "TIME", help: "stop it after this time" },
  "kill-after": { kind: "time", value: "TIME", help: "from the stop signal to KILL (default 10s)" },
  "stop-signal": {
    kind: "text",
    value: "SIGNAL",
    words: signals,
    help: "what a timeout and a stop send first (default TERM)",
  },
  tag: { kind: "text", short: "t", value: "WORD", many: true, help: "a word to find it by" },
  group: { kind: "text", short: "g", value: "NAME", help: "the group whose parallelism and pause it obeys" },
  priority: { kind: "integer", short: "p", value: "N", help: "higher starts first (default 0)" },
  after: {
    kind: "text",
    value: "ID[:end]",
    many: true,
    help: "only after that job has succeeded, or ended anyhow",
  },
  delay: { kind: "time", value: "TIME", help: "not before this time has passed" },
  at: { kind: "text", value: "DATE", help: "not before: HH:MM, or a date such as 2030-01-31T08:00" },
  retries: { kind: "count", value: "N", help: "try again so often after a failure" },
  "retry-delay": {
    kind: "time",
    value: "TIME",
    help: "before the first retry; doubles each time (default 1s)",
  },
  key: { kind: "text", value: "KEY", help: "asking again with this key gives the same job back" },
  "max-log": {
    kind: "size",
    value: "SIZE",
    help: "the most output of an attempt, looked at 20 times a second",
  },
  "when-log-full": {
    kind: "text",
    value: "WHAT",
    among: ["kill", "keep-ends"],
    help: "beyond that: kill it (default), or keep the two ends",
  },
  "notify-command": {
    kind: "text",
    value: "CMD",
    many: true,
    help: "at its end, give the event as JSON to this shell command",
  },
  "notify-file": {
    kind: "text",
    value: "FILE",
    many: true,
    help: "at its end, append the event as JSON to this file",
  },
  "notify-on": {
    kind: "text",
    value: "REGEX",
    help: "notify once a line of its output matches, not at its end",
  },
} as const satisfies Options

export const run = define({
  name: "run",
  summary: "run a command as a job; starts a daemon when there is none",
  positionals: { name: "COMMAND [ARGUMENT...]", count: "command" },
  options: {
    wait: { kind: "flag", short: "w", help: "wait for its end, print its output, and exit with its code" },
    follow: { kind: "flag", short: "f", help: "the same, with the output as it comes" },
    ...asked,
  },
  notes: [
    "Prints the job's id. The job outlives this command and the daemon: Ctrl-C while waiting leaves it running.",
    "It runs in the directory you are in, with the daemon's variables: add some with --env, or give it all of",
    "yours with --copy-env (they are kept with the job then; name secrets with --mask).",
    reconnects,
  ],
})

export const create = define({
  name: "create",
  summary: "prepare a job without starting it",
  positionals: { name: "COMMAND [ARGUMENT...]", count: "command" },
  options: asked,
  notes: ["Prints the job's id, for holdfast start."],
})

export const wait = define({
  name: "wait",
  summary: "wait for a job's end, and exit with its code",
  positionals: job,
  options: {
    timeout: { kind: "time", value: "TIME", help: "wait no longer than this; then exit 1, the job runs on" },
    pattern: { kind: "text", value: "REGEX", help: "wait for a line of output that matches, and print it" },
    silence: { kind: "time", value: "TIME", help: "wait until it has written nothing for this time" },
    stream,
  },
  notes: [
    "The exit code is the job's own; 128 + N when signal N ended it, 127 when its command was not found.",
    reconnects,
  ],
})

const listing = {
  quiet: { kind: "flag", short: "q", help: "only the ids" },
  state: { kind: "text", short: "s", value: "STATE", many: true, among: states, help: "in this state" },
  tag: { kind: "text", short: "t", value: "WORD", many: true, help: "with this tag" },
  group: { kind: "text", short: "g", value: "NAME", help: "of this group" },
  cwd: { kind: "text", value: "DIR", help: "run in this directory" },
  since: { kind: "time", value: "TIME", help: "created within this time" },
  text: { kind: "text", value: "TEXT", help: "with this in its command" },
  limit: { kind: "count", short: "n", value: "N", help: "at most so many, the newest (default 50)" },
} as const satisfies Options

export const list = define({
  name: "list",
  summary: "list jobs, the newest first",
  positionals: nothing,
  options: listing,
})

export const ps = define({
  name: "ps",
  summary: "list the units, and the jobs that have not ended",
  positionals: nothing,
  options: { ...listing, all: { kind: "flag", short: "a", help: "jobs that have ended, too" } },
  notes: ["With an option that says which jobs, it lists no units."],
})

export const rm = define({
  name: "rm",
  summary: "delete jobs that have ended, with their output",
  positionals: jobs,
  options: { force: { kind: "flag", short: "f", help: "stop those that run first" } },
})

export const gc = define({
  name: "gc",
  summary: "delete old jobs, with their output",
  positionals: nothing,
  options: {
    "older-than": { kind: "time", value: "TIME", help: "that ended longer ago than this" },
    keep: { kind: "count", value: "N", help: "beyond the N that ended last" },
    "keep-size": { kind: "size", value: "SIZE", help: "beyond so many bytes of output, the last ones kept" },
    "dry-run": { kind: "flag", help: "only say what would go" },
  },
})

export const group = define({
  name: "group",
  summary: "show or change groups: how many of their jobs run at once, and whether any start",
  positionals: {
    name: "list | set NAME | pause NAME | resume NAME | rm NAME",
    count: "some",
    among: ["list", "set", "pause", "resume", "rm"],
  },
  options: {
    parallelism: {
      kind: "text",
      short: "j",
      value: "N",
      help: "with set: run at most N at once, or none for no limit",
    },
  },
})

export const events = define({
  name: "events",
  summary: "show what has happened",
  positionals: nothing,
  options: {
    follow: { kind: "flag", short: "f", help: "go on as it comes" },
    after: { kind: "count", value: "CURSOR", help: "what came after this one, in place of the latest" },
    limit: { kind: "count", short: "n", value: "N", help: "at most so many (default 100)" },
    subject: { kind: "text", value: "NAME|ID", help: "only about this unit or job" },
    type: {
      kind: "text",
      short: "t",
      value: "TYPE",
      many: true,
      help: "such as job.exited or unit.failed, or job for all of jobs",
    },
  },
  notes: ["The first number of each line is its cursor.", reconnects],
})

export const doctor = define({
  name: "doctor",
  summary: "look for what a crash may have left behind",
  positionals: nothing,
  options: { fix: { kind: "flag", help: "repair what can be repaired without a loss" } },
  notes: ["Exits with 1 when something is left that needs attention."],
})

export const token = define({
  name: "token",
  summary: "print the token that the HTTP API asks for",
  positionals: nothing,
  options: { path: { kind: "flag", help: "print where it is kept" } },
})

export const schema = define({
  name: "schema",
  summary: "print the OpenAPI document, or the JSON Schema of a job or of the configuration file",
  positionals: { name: "openapi | job | config", count: "optional", among: ["openapi", "job", "config"] },
  options: {},
})

export const completions = define({
  name: "completions",
  summary: "print the completions for a shell",
  positionals: { name: "bash | zsh | fish", count: "one", among: ["bash", "zsh", "fish"] },
  options: {},
  notes: [
    'bash: eval "$(holdfast completions bash)"',
    "zsh:  holdfast completions zsh > a directory of your $fpath, as _holdfast",
    "fish: holdfast completions fish > ~/.config/fish/completions/holdfast.fish",
  ],
})

/** All of them, in the order of the help. */
export const syntaxes = [
  up,
  serve,
  down,
  check,
  reload,
  run,
  create,
  start,
  restart,
  stop,
  kill,
  status,
  tail,
  logs,
  wait,
  list,
  ps,
  rm,
  gc,
  why,
  graph,
  group,
  events,
  doctor,
  token,
  schema,
  completions,
] as const satisfies ReadonlyArray<Syntax>
