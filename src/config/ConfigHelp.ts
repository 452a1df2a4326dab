/** What each key of the configuration file is for, as an editor shows it: one sentence or two, with the default. */

const probe = {
  http: "Asks over HTTP.",
  tcp: "Connects.",
  exec: "Runs a command, which passes when it exits with 0.",
  log: "Waits for a line of the unit's output.",
  all: "Passes when each of these probes passes.",
  any: "Passes when one of these probes passes.",
}

/** By the name of a part of the file, and by key. */
export const help = {
  Config: {
    units: "What is kept, by name: letters, digits, '.', '_' and '-'.",
    groups: "Units that go down together, by name.",
  },
  Unit: {
    kind: "service: a process that stays up. oneshot: a command that runs to its end. target: a name for a set of units. external: a server of somebody else's, which is only observed.",
    description: "For people.",
    command:
      "What a service or a oneshot runs. A list is executed as it stands; a text is run by /bin/sh. ${port} and ${NAME.port} become ports.",
    cwd: "The directory to run in, from that of this file on. Default: that of this file.",
    env: "Variables that win over everything else. ${port} and ${NAME.port} become ports.",
    envFile: "Files of NAME=value lines, from the directory of this file on; later ones win.",
    inheritEnv: "Start from the environment of Holdfast itself.",
    mask: "Names of variables whose values are never shown.",
    stop: "How to stop it.",
    logs: "What is kept of its output.",
    port: "The port that it listens on; auto is any that is free. Probes ask there unless they say otherwise.",
    ports: "Other ports that it uses.",
    host: "Where probes ask. Default: localhost, at all its addresses.",
    url: "Where an external server answers.",
    requires: "These have to be up first; one that fails makes it fail. A list, or names with conditions.",
    after: "Order only: when these are started too, it starts after them.",
    wants: "Started along; their failure is nothing to it.",
    bindsTo: "As requires; and it goes down, and comes back, together with them.",
    conflicts: "Never up at the same time: a start of the one stops the other.",
    dependencyTimeout: "How long it waits for what it depends on before it fails. Default: for ever.",
    startup: "Gates the other probes. Failing its threshold restarts.",
    readiness: "Decides whether it is ready. Never restarts.",
    liveness: "Failing its threshold restarts.",
    busy: "Passes while it is busy: then a restart for failing health waits.",
    busyGrace: "How long such a restart waits at most.",
    startTimeout: "How long a start may take. Default 30s; of a oneshot: no limit.",
    minUptime: "Without a probe it is ready once it has been up for so long.",
    verifyListener: "Whether the listener at its port has to be its own process, or one that it started.",
    restart: "When it starts again, and how often.",
    autostart: "Whether it starts with the supervisor.",
    foreign: "What to do when somebody else's server answers in its place.",
    reclaim: "Whether a process that an earlier run left behind is stopped for its port.",
    killOthers: "Kill whoever else holds its ports, or is named in processFilters.",
    processFilters: "Exact names of processes that killOthers kills.",
  },
  Group: {
    strategy:
      "What a crash restarts: that unit only (one-for-one), all of them (one-for-all), or it and those after it (rest-for-one).",
    units: "Its units, in the order of their start.",
  },
  Stop: {
    signal: "What is sent first.",
    grace: "From the signal to KILL.",
  },
  Logs: {
    lines: "Lines in memory.",
    maxSize: "Of each file.",
    maxFiles: "Files, the one that is written to among them. 0: none.",
  },
  Restart: {
    policy: "After failures, after every end, or not at all.",
    maxFailures: "Failures since it was last stable, beyond which it is given up.",
    stableAfter: "Ready for so long, and earlier failures are forgotten.",
    backoff: "How long to wait before a restart; the first comes at once.",
    success: "Exit codes and signals that count as success, beside 0.",
    permanent: "Exit codes and signals after which a restart is of no use.",
  },
  Backoff: {
    initial: "Before the second restart.",
    factor: "What each delay is multiplied by for the next one.",
    max: "No delay is longer.",
    jitter: "Whether each delay is drawn from 0 up to what it would be.",
  },
  Check: {
    ...probe,
    period: "From the end of one check to the start of the next.",
    timeout: "The deadline of one check.",
    successThreshold: "Passes in a row until it counts as passing.",
    failureThreshold: "Failures in a row until it counts as failing.",
    initialDelay: "From the start of the process to the first check.",
  },
  Probe: probe,
  Http: {
    url: "Where: an absolute URL. Instead of it: path, with port and host.",
    port: "Default: the unit's port.",
    host: "Default: the unit's host.",
    path: "What to ask for; starts with '/'.",
    method: "How to ask.",
    headers: "Sent with the request. Their values are never shown.",
    verifyCertificate: "Whether an https server needs a certificate that this machine trusts.",
    status:
      "What passes: a status such as 200, a class such as 2xx, a range such as 200-399, or a list of these.",
    json: "The body has to be JSON and hold these values at these JSON Pointers, such as /healthy.",
    version: "The body has to be JSON and name exactly this version.",
    identity: "The answer has to say that it is the right server.",
  },
  Tcp: {
    port: "Default: the unit's port.",
    host: "Default: the unit's host.",
  },
  Exec: {
    command: "A list is executed as it stands; a text is run by /bin/sh.",
    cwd: "The directory to run in, from that of this file on. Default: the unit's.",
    env: "Added to the unit's variables.",
    mask: "Names of variables whose values are never shown.",
  },
  Log: {
    pattern: "A JavaScript regular expression, looked for anywhere in a line.",
  },
} as const
