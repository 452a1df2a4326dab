import { describe, expect, it } from "@effect/vitest"
import { type Traits, transition } from "../../src/unit/Transition.js"
import type { UnitEffect, UnitEvent } from "../../src/unit/UnitEvent.js"
import { type End, formatEnd, initial, type TimerName, type UnitState } from "../../src/unit/UnitState.js"
import type { Verdict } from "../../src/unit/Verdict.js"

/** An event that knows the generation and the tokens of the state that it happens to. */
type Input = (state: UnitState) => UnitEvent

const waiting = (given: { readonly required?: boolean; readonly lost?: boolean; readonly bound?: boolean }) =>
  dependencies({
    _tag: "Waiting",
    reasons: ["db is not there."],
    required: true,
    lost: false,
    bound: false,
    ...given,
  })
const broken = (bound: boolean) => dependencies({ _tag: "Broken", name: "db", why: "It has failed.", bound })
const dependencies =
  (verdict: Verdict): Input =>
  () => ({ _tag: "Dependencies", verdict })
const spawnFailed =
  (retryable: boolean): Input =>
  ({ generation }) => ({
    _tag: "SpawnFailed",
    generation,
    error: { kind: "CommandNotFound", message: "There is no such program." },
    retryable,
  })
const pass =
  (use: "startup" | "readiness" | "liveness", ready: boolean): Input =>
  ({ generation }) => ({ _tag: "ProbePassed", generation, use, ready })
/** `often`: as often as it takes. */
const fail =
  (use: "startup" | "readiness" | "liveness", failures: number, often = false, mismatch = false): Input =>
  ({ generation }) => ({
    _tag: "ProbeFailed",
    generation,
    use,
    failures,
    due: often,
    last: "It said no.",
    mismatch,
  })
const timer =
  (name: TimerName): Input =>
  ({ armed }) => ({ _tag: "Timer", timer: name, token: armed[name] ?? 0 })
const busy =
  (isBusy: boolean): Input =>
  ({ armed }) => ({ _tag: "Busy", token: armed.askBusy!, busy: isBusy })
const delay =
  (until: number | undefined): Input =>
  ({ armed }) => ({ _tag: "Delay", token: armed.backoff!, until })
const ended =
  (end: End): Input =>
  ({ generation }) => ({ _tag: "Ended", generation, end })
const gone =
  (...survivors: ReadonlyArray<string>): Input =>
  ({ generation }) => ({ _tag: "Gone", generation, survivors })

/** The words of the table for what happens. */
const inputs: Readonly<Record<string, Input>> = {
  start: () => ({ _tag: "Start" }),
  stop: () => ({ _tag: "Stop" }),
  restart: () => ({ _tag: "Restart", cause: "restart" }),
  group: () => ({ _tag: "Restart", cause: "group" }),
  shutdown: () => ({ _tag: "Shutdown" }),
  met: dependencies({ _tag: "Met" }),
  unwell: waiting({}),
  other: dependencies({
    _tag: "Waiting",
    reasons: ["cache is not there."],
    required: true,
    lost: false,
    bound: false,
  }),
  order: waiting({ required: false }),
  lost: waiting({ lost: true }),
  bound: waiting({ lost: true, bound: true }),
  broken: broken(false),
  boundBroken: broken(true),
  spawned: ({ generation }) => ({ _tag: "Spawned", generation, adopted: false }),
  adopted: ({ generation }) => ({ _tag: "Spawned", generation, adopted: true }),
  spawnFailed: spawnFailed(true),
  notFound: spawnFailed(false),
  pass: pass("readiness", true),
  passOnce: pass("readiness", false),
  startupPass: pass("startup", false),
  livePass: pass("liveness", true),
  livePassUnready: pass("liveness", false),
  // `!`: as often as it takes.
  unready1: fail("readiness", 1),
  unready2: fail("readiness", 2),
  unready3: fail("readiness", 3),
  "unready3!": fail("readiness", 3, true),
  "startupFail3!": fail("startup", 3, true),
  sick1: fail("liveness", 1),
  "sick1!": fail("liveness", 1, true),
  sick2: fail("liveness", 2),
  "sick3!": fail("liveness", 3, true),
  mismatch: fail("readiness", 1, false, true),
  busy: busy(true),
  idle: busy(false),
  delay0: delay(0),
  delay100: delay(100),
  noMore: delay(undefined),
  "timer.start": timer("start"),
  "timer.uptime": timer("uptime"),
  "timer.stable": timer("stable"),
  "timer.backoff": timer("backoff"),
  "timer.dependency": timer("dependency"),
  "timer.busyGrace": timer("busyGrace"),
  exit0: ended({ _tag: "Exited", code: 0 }),
  exit1: ended({ _tag: "Exited", code: 1 }),
  exit77: ended({ _tag: "Exited", code: 77 }),
  killed: ended({ _tag: "Signaled", signal: "SIGKILL" }),
  gone: gone(),
  survived: gone("pid 7"),
}

/** The words for how a unit came to where it is. */
const places: Readonly<Record<string, string>> = {
  blocked: "unwell start",
  starting: "start spawned",
  ready: "start spawned pass",
  sick: "start spawned pass sick1",
  down: "start spawned pass stop",
  crashed: "start spawned pass exit1 gone",
  done: "start spawned pass exit0 gone",
  fallen: "start spawned pass exit77 gone",
}

const plain: Traits = {
  kind: "service",
  probed: true,
  startLimited: true,
  waitLimited: true,
  offersBusy: false,
  restart: { policy: "on-failure", maxFailures: 2, success: [], permanent: [77] },
}

/** The words for other units than a service with a probe, deadlines and `on-failure`. */
const traits: Readonly<Record<string, Traits>> = {
  target: { ...plain, kind: "target", probed: false },
  oneshot: { ...plain, kind: "oneshot", probed: false },
  external: { ...plain, kind: "external" },
  unlimited: { ...plain, startLimited: false, waitLimited: false },
  unprobed: { ...plain, probed: false },
  offersBusy: { ...plain, offersBusy: true },
  always: { ...plain, restart: { ...plain.restart, policy: "always" } },
  never: { ...plain, restart: { ...plain.restart, policy: "never" } },
  once: { ...plain, restart: { ...plain.restart, maxFailures: 1 } },
}

/** A phase in the words of the table. */
const shown = ({ phase }: UnitState): string => {
  switch (phase._tag) {
    case "Blocked":
      return `Blocked{${phase.reasons.join(" ")}}`
    case "Degraded":
      return `Degraded{${Object.entries(phase.failing).map(([use, count]) => `${use}: ${count}`)}${phase.busy ? ", busy" : ""}}`
    case "Stopping":
      return `Stopping{${phase.cause}${phase.queued ? ", queued" : ""}}`
    case "Backoff":
      return `Backoff{${phase.attempt}${phase.until === undefined ? "" : `, until ${phase.until}`}}`
    case "Exited":
      return `Exited{${formatEnd(phase.end)}}`
    case "Failed":
      return `Failed{${phase.failure._tag}}`
    case "Inactive":
    case "Starting":
    case "Ready":
      return phase._tag
  }
}

const shownEffect = (effect: UnitEffect): string => {
  switch (effect._tag) {
    case "Spawn":
    case "StopInstance":
    case "Down":
      return `${effect._tag} ${effect.generation}`
    case "Arm":
      return `Arm ${effect.timer}`
    case "Disarm":
    case "NextDelay":
    case "AskBusy":
    case "ResetDelays":
      return effect._tag
  }
}

/** From where, what happens with the phase after each, the effects of the last, and what else holds of the state. */
type Cell = readonly [name: string, from: string, steps: string, effects: string, also?: object]

type Columns = Readonly<Record<string, ReadonlyArray<Cell>>>

const columns = ["start", "stop", "restart", "dependencies", "probe pass", "probe fail", "timer", "exit"]

const rows: Readonly<Record<string, Columns>> = {
  Inactive: {
    start: [
      ["Starting (generation + 1)", "", "start: Starting", "Spawn 1, Arm start"],
      ["Blocked", "unwell", "start: Blocked{db is not there.}", "Arm dependency"],
      ["a target without cares: Ready", "target", "start: Ready", ""],
      ["of what is broken: Failed(DependencyFailed)", "broken", "start: Failed{DependencyFailed}", ""],
    ],
    stop: [["stays", "", "stop: Inactive", "", { desired: "down" }]],
    restart: [
      ["as start", "", "restart: Starting", "Spawn 1, Arm start"],
      ["of its group: stays", "", "group: Inactive", ""],
    ],
    dependencies: [["nothing", "", "lost: Inactive", ""]],
    "probe pass": [["nothing", "", "pass: Inactive", ""]],
    "probe fail": [["nothing", "", "sick3!: Inactive", ""]],
    timer: [["nothing", "", "timer.start: Inactive", ""]],
    exit: [["nothing", "", "exit1: Inactive", ""]],
  },
  Blocked: {
    start: [["joins", "blocked", "start: Blocked{db is not there.}", ""]],
    stop: [["Inactive", "blocked", "stop: Inactive", "Disarm"]],
    restart: [["re-evaluated: there is nothing new", "blocked", "restart: Blocked{db is not there.}", ""]],
    dependencies: [
      ["ready: Starting", "blocked", "met: Starting", "Disarm, Spawn 1, Arm start"],
      ["ready, of a target: Ready", "target blocked", "met: Ready", "Disarm"],
      ["terminal: Failed(DependencyFailed)", "blocked", "broken: Failed{DependencyFailed}", "Disarm"],
      ["still waiting, for something else", "blocked", "other: Blocked{cache is not there.}", ""],
    ],
    "probe pass": [["nothing", "blocked", "pass: Blocked{db is not there.}", ""]],
    "probe fail": [["nothing", "blocked", "sick3!: Blocked{db is not there.}", ""]],
    timer: [
      ["Failed(DependencyTimeout)", "blocked", "timer.dependency: Failed{DependencyTimeout}", ""],
      [
        "optional: without a dependencyTimeout none is armed",
        "unlimited unwell",
        "start: Blocked{db is not there.}",
        "",
      ],
    ],
    exit: [["nothing", "blocked", "exit1: Blocked{db is not there.}", ""]],
  },
  Starting: {
    start: [["joins", "starting", "start: Starting", ""]],
    stop: [
      ["Stopping", "starting", "stop: Stopping{stop}", "Disarm, Down 1, StopInstance 1"],
      [
        "before its process runs: Stopping, and nobody is told of an end",
        "start",
        "stop: Stopping{stop}",
        "Disarm, StopInstance 1",
      ],
    ],
    restart: [
      [
        "Stopping, then Starting",
        "starting",
        "restart: Stopping{restart} > gone: Starting",
        "Spawn 2, Arm start",
      ],
      [
        "of its group: Stopping, then Starting",
        "starting",
        "group: Stopping{group} > gone: Starting",
        "Spawn 2, Arm start",
      ],
    ],
    dependencies: [
      [
        "lost: Stopping, then Blocked",
        "starting",
        "lost: Stopping{dependency} > gone: Blocked{db is not there.}",
        "Arm dependency",
      ],
      [
        "failed: Stopping, then Failed(DependencyFailed)",
        "starting",
        "broken: Stopping{dependency} > gone: Failed{DependencyFailed}",
        "",
      ],
      ["unwell, and there: stays", "starting", "unwell: Starting", ""],
    ],
    "probe pass": [
      ["Ready", "starting", "pass: Ready", "Disarm, Arm stable"],
      ["of startup, with readiness to come: stays", "starting", "startupPass: Starting", ""],
    ],
    "probe fail": [
      ["stays", "starting", "unready3: Starting", "", { phase: { last: "It said no." } }],
      ["readiness as often as it takes: stays, it never restarts", "starting", "unready3!: Starting", ""],
      [
        "startup as often as it takes: Stopping, then Backoff",
        "starting",
        "startupFail3!: Stopping{unhealthy} > gone: Backoff{1}",
        "NextDelay",
      ],
      [
        "a wrong version: Stopping, then Failed(Mismatch), whatever the policy",
        "always starting",
        "mismatch: Stopping{mismatch} > gone: Failed{Mismatch}",
        "",
      ],
    ],
    timer: [
      [
        "start timeout: Stopping, then Backoff",
        "starting",
        "timer.start: Stopping{start-timeout} > gone: Backoff{1}",
        "NextDelay",
      ],
      [
        "start timeout: Stopping, then Failed, by policy",
        "never starting",
        "timer.start: Stopping{start-timeout} > gone: Failed{StartTimeout}",
        "",
      ],
      [
        "start timeout of an external: Failed, and no other try",
        "external starting",
        "timer.start: Stopping{start-timeout} > gone: Failed{StartTimeout}",
        "",
      ],
      [
        "no probe is declared: Ready once it has been up for minUptime",
        "unprobed starting",
        "timer.uptime: Ready",
        "Disarm, Arm stable",
      ],
    ],
    // An exit goes through Stopping here, where SPEC has its outcome at once: first the whole group is gone.
    exit: [
      [
        "through Stopping, until its group is proven empty: Backoff",
        "starting",
        "exit1: Stopping{exit} > gone: Backoff{1}",
        "NextDelay",
      ],
      [
        "through Stopping: Failed(EarlyExit), by policy",
        "never starting",
        "exit1: Stopping{exit} > gone: Failed{EarlyExit}",
        "",
      ],
      [
        "a service that says success before it is ready: Failed(EarlyExit)",
        "starting",
        "exit0: Stopping{exit} > gone: Failed{EarlyExit}",
        "",
      ],
      [
        "a oneshot's 0: Exited(0)",
        "oneshot starting",
        "exit0: Stopping{exit} > gone: Exited{exit code 0}",
        "",
      ],
      ["of what could not be spawned: Backoff", "start", "spawnFailed: Backoff{1}", "Disarm, NextDelay"],
      [
        "of what can never be spawned: Failed(StartFailed)",
        "start",
        "notFound: Failed{StartFailed}",
        "Disarm",
      ],
    ],
  },
  Ready: {
    start: [["returns the status", "ready", "start: Ready", ""]],
    stop: [
      ["Stopping", "ready", "stop: Stopping{stop}", "Disarm, Down 1, StopInstance 1"],
      ["of a target: Inactive", "target start", "stop: Inactive", ""],
    ],
    restart: [
      [
        "Stopping, then Starting",
        "ready",
        "restart: Stopping{restart} > gone: Starting",
        "Spawn 2, Arm start",
      ],
      ["of a target: its members are", "target start", "restart: Ready", ""],
      [
        "with its group, of what is never restarted: Stopping, then Inactive",
        "never ready",
        "group: Stopping{group} > gone: Inactive",
        "",
      ],
    ],
    dependencies: [
      [
        "lost, and bindsTo: Stopping, then Blocked",
        "ready",
        "bound: Stopping{dependency} > gone: Blocked{db is not there.}",
        "Arm dependency",
      ],
      [
        "failed, and bindsTo: Stopping, then Failed(DependencyFailed)",
        "ready",
        "boundBroken: Stopping{dependency} > gone: Failed{DependencyFailed}",
        "",
      ],
      ["lost, and only requires: stays", "ready", "lost: Ready", ""],
      ["failed, and only requires: stays", "ready", "broken: Ready", ""],
      ["lost, of a target: Blocked", "target start", "lost: Blocked{db is not there.}", "Arm dependency"],
      [
        "failed, of a target: Failed(DependencyFailed)",
        "target start",
        "broken: Failed{DependencyFailed}",
        "",
      ],
      ["unwell, of a target: Degraded, as what it stands for", "target start", "unwell: Degraded{}", ""],
      ["a target's order only: stays", "target start", "order: Ready", ""],
    ],
    "probe pass": [["stays", "ready", "pass: Ready", ""]],
    "probe fail": [
      ["Degraded(1)", "ready", "unready1: Degraded{readiness: 1}", "Disarm"],
      [
        "threshold 1 of liveness: Stopping at once",
        "ready",
        "sick1!: Stopping{unhealthy}",
        "Disarm, Down 1, StopInstance 1",
      ],
    ],
    timer: [
      [
        "stable: backoff reset",
        "crashed delay0 timer.backoff spawned pass",
        "timer.stable: Ready",
        "ResetDelays",
        { failures: 0 },
      ],
      ["stable, with nothing to reset: stays", "ready", "timer.stable: Ready", ""],
    ],
    // As in Starting; `onDown` is told at once.
    exit: [
      ["onDown once, as soon as it has ended", "ready", "exit1: Stopping{exit}", "Disarm, Down 1"],
      ["by policy: Backoff", "ready", "exit1: Stopping{exit} > gone: Backoff{1}", "NextDelay"],
      ["by policy: Exited", "ready", "exit0: Stopping{exit} > gone: Exited{exit code 0}", ""],
      [
        "success is restarted when the policy is always",
        "always ready",
        "exit0: Stopping{exit} > gone: Backoff{1}",
        "NextDelay",
      ],
      ["by policy: Failed(Crashed)", "never ready", "killed: Stopping{exit} > gone: Failed{Crashed}", ""],
      [
        "a permanent one: Failed(PermanentExit), whatever the policy",
        "always ready",
        "exit77: Stopping{exit} > gone: Failed{PermanentExit}",
        "",
      ],
    ],
  },
  Degraded: {
    start: [["joins", "sick", "start: Degraded{liveness: 1}", ""]],
    stop: [["Stopping", "sick", "stop: Stopping{stop}", "Down 1, StopInstance 1"]],
    restart: [
      [
        "as Ready: Stopping, then Starting",
        "sick",
        "restart: Stopping{restart} > gone: Starting",
        "Spawn 2, Arm start",
      ],
    ],
    dependencies: [
      [
        "as Ready: lost, and bindsTo: Stopping, then Blocked",
        "sick",
        "bound: Stopping{dependency} > gone: Blocked{db is not there.}",
        "Arm dependency",
      ],
      ["as Ready: lost, and only requires: stays", "sick", "lost: Degraded{liveness: 1}", ""],
      ["well again, of a target: Ready", "target start unwell", "met: Ready", ""],
    ],
    "probe pass": [
      ["Ready", "sick", "livePass: Ready", "Arm stable"],
      ["of one, while another fails: stays", "sick unready2", "livePassUnready: Degraded{readiness: 2}", ""],
      ["of readiness, not often enough yet: stays", "ready unready3", "passOnce: Degraded{readiness: 3}", ""],
      [
        "of liveness clears the busy window, while readiness fails",
        "offersBusy sick unready1 sick3! busy",
        "livePassUnready: Degraded{readiness: 1}",
        "Disarm",
      ],
      [
        "healthy clears the busy window",
        "offersBusy ready sick3! busy",
        "livePass: Ready",
        "Disarm, Arm stable",
      ],
    ],
    "probe fail": [
      ["n < threshold: Degraded(n)", "sick", "sick2: Degraded{liveness: 2}", ""],
      [
        "n >= threshold and not busy: Stopping, then Starting by way of Backoff, whose first delay is none",
        "sick",
        "sick3!: Stopping{unhealthy} > gone: Backoff{1} > delay0: Backoff{1, until 0} > timer.backoff: Starting",
        "Spawn 2, Arm start",
      ],
      [
        "n >= threshold, and whether it is busy is asked first",
        "offersBusy sick",
        "sick3!: Degraded{liveness: 3}",
        "AskBusy",
      ],
      [
        "n >= threshold, and not busy as it says: Stopping",
        "offersBusy sick sick3!",
        "idle: Stopping{unhealthy}",
        "Down 1, StopInstance 1",
      ],
      [
        "n >= threshold, and busy: deferred, for the busy grace at most",
        "offersBusy sick sick3!",
        "busy: Degraded{liveness: 3, busy}",
        "Arm busyGrace",
      ],
      [
        "while it is deferred it is asked again, and the grace is not prolonged",
        "offersBusy sick sick3! busy sick3!",
        "busy: Degraded{liveness: 3, busy}",
        "",
      ],
      [
        "idle at last: Stopping",
        "offersBusy sick sick3! busy sick3!",
        "idle: Stopping{unhealthy}",
        "Disarm, Down 1, StopInstance 1",
      ],
      [
        "readiness as often as it takes: stays, it never restarts",
        "sick",
        "unready3!: Degraded{liveness: 1,readiness: 3}",
        "",
      ],
      [
        "readiness as often as it takes, of a server that was adopted: it is let go",
        "start adopted pass unready2",
        "unready3!: Stopping{unhealthy} > gone: Backoff{1}",
        "NextDelay",
      ],
      [
        "n >= threshold of an external: Failed(ExternalUnavailable), when it is let go",
        "external ready unready2",
        "unready3!: Stopping{unhealthy} > gone: Failed{ExternalUnavailable}",
        "",
      ],
    ],
    timer: [
      [
        "busy grace over: Stopping, then by policy",
        "offersBusy sick sick3! busy",
        "timer.busyGrace: Stopping{unhealthy} > gone: Backoff{1}",
        "NextDelay",
      ],
    ],
    exit: [
      [
        "as Ready: through Stopping, by policy",
        "sick",
        "killed: Stopping{exit} > gone: Backoff{1}",
        "NextDelay",
      ],
    ],
  },
  Stopping: {
    start: [
      [
        "one start is queued",
        "down",
        "start: Stopping{stop, queued} > start: Stopping{stop, queued} > gone: Starting",
        "Spawn 2, Arm start",
      ],
      ["none when it shuts down", "ready shutdown", "start: Stopping{shutdown} > gone: Inactive", ""],
    ],
    stop: [
      ["cause becomes stop", "ready restart", "stop: Stopping{stop} > gone: Inactive", ""],
      ["a queued start is taken back", "down start", "stop: Stopping{stop} > gone: Inactive", ""],
      ["unless it shuts down", "ready shutdown", "stop: Stopping{shutdown}", ""],
    ],
    restart: [
      [
        "cause becomes restart",
        "ready exit1",
        "restart: Stopping{restart} > gone: Starting",
        "Spawn 2, Arm start",
      ],
      ["unless stop", "down", "restart: Stopping{stop}", ""],
      ["unless shutdown", "ready shutdown", "restart: Stopping{shutdown}", ""],
      [
        "of its group: it is going down for its own reason",
        "ready exit1",
        "group: Stopping{exit} > gone: Backoff{1}",
        "NextDelay",
      ],
    ],
    dependencies: [
      [
        "count when it is gone",
        "ready restart",
        "lost: Stopping{restart} > gone: Blocked{db is not there.}",
        "Arm dependency",
      ],
    ],
    "probe pass": [["nothing", "down", "pass: Stopping{stop}", ""]],
    "probe fail": [["nothing", "down", "sick3!: Stopping{stop}", ""]],
    timer: [
      [
        "grace over and KILL are the interpreter's; still alive: Failed(StopTimeout)",
        "down",
        "survived: Failed{StopTimeout}",
        "",
        { live: true },
      ],
    ],
    exit: [
      ["of the process alone: the group is waited for", "down", "exit0: Stopping{stop}", ""],
      ["when the group is empty, stop: Inactive", "down", "gone: Inactive", ""],
      [
        "when the group is empty, dependency: Starting",
        "ready bound met",
        "gone: Starting",
        "Spawn 2, Arm start",
      ],
      [
        "when the group is empty, dependency: Blocked",
        "ready bound",
        "gone: Blocked{db is not there.}",
        "Arm dependency",
      ],
      ["when the group is empty, exit: Backoff", "ready exit1", "gone: Backoff{1}", "NextDelay"],
      [
        "of a spawn that had not been answered: it comes to life, and is told down",
        "start stop",
        "spawned: Stopping{stop}",
        "Down 1",
      ],
      ["of a spawn that fails now: Inactive", "start stop", "spawnFailed: Inactive", ""],
    ],
  },
  Backoff: {
    start: [["now", "crashed", "start: Starting", "Disarm, Spawn 2, Arm start"]],
    stop: [["Inactive", "crashed", "stop: Inactive", "Disarm"]],
    restart: [
      ["now", "crashed", "restart: Starting", "Disarm, Spawn 2, Arm start"],
      ["of its group: stays", "crashed", "group: Backoff{1}", ""],
    ],
    dependencies: [
      ["lost: Blocked", "crashed", "lost: Blocked{db is not there.}", "Disarm, Arm dependency"],
      ["unwell: stays", "crashed", "unwell: Backoff{1}", ""],
    ],
    "probe pass": [["nothing", "crashed", "pass: Backoff{1}", ""]],
    "probe fail": [["nothing", "crashed", "sick3!: Backoff{1}", ""]],
    timer: [
      [
        "over: Starting",
        "crashed delay100",
        "timer.backoff: Starting",
        "Spawn 2, Arm start",
        { restarts: 1 },
      ],
      [
        "over: Blocked",
        "crashed delay100 unwell",
        "timer.backoff: Blocked{db is not there.}",
        "Arm dependency",
      ],
      [
        "k > max: Failed(RestartsExhausted)",
        "once crashed delay0 timer.backoff spawned exit1",
        "gone: Failed{RestartsExhausted}",
        "",
      ],
      ["the schedule is done: Failed(RestartsExhausted)", "crashed", "noMore: Failed{RestartsExhausted}", ""],
    ],
    exit: [["nothing", "crashed", "exit1: Backoff{1}", ""]],
  },
  "Exited, Failed": {
    start: [
      ["Exited: Starting", "done", "start: Starting", "Spawn 2, Arm start"],
      [
        "Failed: Starting, counters cleared",
        "once crashed delay0 timer.backoff spawned exit1 gone",
        "start: Starting",
        "ResetDelays, Spawn 3, Arm start",
        { failures: 0, failure: undefined },
      ],
      [
        "something survived KILL: first that is stopped",
        "down survived",
        "start: Stopping{stop, queued} > gone: Starting",
        "Spawn 2, Arm start",
      ],
    ],
    stop: [
      ["Exited: Inactive", "done", "stop: Inactive", ""],
      [
        "Failed: Inactive; the last failure is kept to read",
        "fallen",
        "stop: Inactive",
        "",
        { failure: { _tag: "PermanentExit" } },
      ],
      [
        "something survived KILL: it is tried once more",
        "down survived",
        "stop: Stopping{stop}",
        "StopInstance 1",
      ],
    ],
    restart: [
      ["Exited: as start", "done", "restart: Starting", "Spawn 2, Arm start"],
      ["Failed: as start", "start notFound", "restart: Starting", "Spawn 2, Arm start"],
      ["Exited, of its group: stays", "done", "group: Exited{exit code 0}", ""],
      ["Failed, of its group: stays", "start notFound", "group: Failed{StartFailed}", ""],
    ],
    dependencies: [
      ["Exited: nothing", "done", "bound: Exited{exit code 0}", ""],
      ["Failed: nothing", "start notFound", "met: Failed{StartFailed}", ""],
    ],
    "probe pass": [["nothing", "done", "pass: Exited{exit code 0}", ""]],
    "probe fail": [["nothing", "done", "sick3!: Exited{exit code 0}", ""]],
    timer: [["nothing", "fallen", "timer.stable: Failed{PermanentExit}", ""]],
    exit: [
      ["nothing", "fallen", "exit1: Failed{PermanentExit}", ""],
      [
        "what survived KILL is gone after all",
        "down survived",
        "gone: Failed{StopTimeout}",
        "",
        { live: false },
      ],
    ],
  },
  "Any state": {
    shutdown: [
      ["Inactive: stays, and starts no more", "shutdown", "start: Inactive", ""],
      ["Blocked: Inactive", "blocked", "shutdown: Inactive", "Disarm"],
      ["Starting: it is interrupted", "start", "shutdown: Stopping{shutdown}", "Disarm, StopInstance 1"],
      ["Ready: Stopping, then Inactive", "ready", "shutdown: Stopping{shutdown} > gone: Inactive", ""],
      [
        "Stopping: what was to come after it does not",
        "down start",
        "shutdown: Stopping{shutdown} > gone: Inactive",
        "",
      ],
      ["Backoff: Inactive", "crashed", "shutdown: Inactive", "Disarm"],
      [
        "Failed: stays; what survived KILL is tried once more",
        "down survived",
        "shutdown: Stopping{shutdown} > survived: Failed{StopTimeout}",
        "",
      ],
    ],
  },
}

const words = (text: string): ReadonlyArray<string> => text.split(" ").filter((word) => word !== "")

const play = (from: string, steps: string) => {
  const [first = "", ...others] = words(from)
  const given = traits[first] ?? plain
  const way = (first in traits ? others : words(from)).flatMap((word) => words(places[word] ?? word))
  let state = initial("manual")
  let effects: ReadonlyArray<UnitEffect> = []
  const happen = (word: string) => {
    const input = inputs[word]
    if (input === undefined) throw new Error(`there is no word ${word}`)
    const stepped = transition(given, state, input(state))
    state = stepped.state
    effects = stepped.effects
  }
  for (const word of way) happen(word)
  const taken = steps.split(" > ").map((step) => {
    const [word = ""] = step.split(": ")
    happen(word)
    return `${word}: ${shown(state)}`
  })
  return { state, steps: taken.join(" > "), effects: effects.map(shownEffect).join(", ") }
}

describe("the table of SPEC 4.1", () => {
  it("is here with every row and every column", () => {
    for (const [state, cells] of Object.entries(rows)) {
      expect(Object.keys(cells)).toEqual(state === "Any state" ? ["shutdown"] : columns)
    }
  })

  for (const [state, cells] of Object.entries(rows)) {
    describe(state, () => {
      for (const [column, cases] of Object.entries(cells)) {
        for (const [name, from, steps, effects, also = {}] of cases) {
          it(`${column}: ${name}`, () => {
            const played = play(from, steps)
            expect(played.steps).toBe(steps)
            expect(played.effects).toBe(effects)
            expect(played.state).toMatchObject(also)
          })
        }
      }
    })
  }
})
