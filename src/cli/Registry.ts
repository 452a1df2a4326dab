/**
 * Which module does which command. It is named in `import()` only, so that nothing of it is evaluated for another one;
 * `Daemon`, with all of Effect, is a file of its own even in the built program.
 */
import type { Command } from "./Handler.js"
import { command } from "./Handler.js"
import * as Syntaxes from "./Syntaxes.js"

/** The commands in the order of the help. */
export const commands: ReadonlyArray<Command> = [
  command(Syntaxes.up, async () => (await import("./Daemon.js")).up),
  command(Syntaxes.serve, async () => (await import("./Daemon.js")).serve),
  command(Syntaxes.down, async () => (await import("./command/Down.js")).down),
  command(Syntaxes.check, async () => (await import("./Daemon.js")).check),
  command(Syntaxes.reload, async () => (await import("./command/Reload.js")).reload),
  command(Syntaxes.run, async () => (await import("./command/Run.js")).run),
  command(Syntaxes.create, async () => (await import("./command/Run.js")).create),
  command(Syntaxes.start, async () => (await import("./command/Control.js")).start),
  command(Syntaxes.restart, async () => (await import("./command/Control.js")).restart),
  command(Syntaxes.stop, async () => (await import("./command/Control.js")).stop),
  command(Syntaxes.kill, async () => (await import("./command/Control.js")).kill),
  command(Syntaxes.status, async () => (await import("./command/Status.js")).status),
  command(Syntaxes.tail, async () => (await import("./command/Logs.js")).tail),
  command(Syntaxes.logs, async () => (await import("./command/Logs.js")).logs),
  command(Syntaxes.wait, async () => (await import("./command/Wait.js")).wait),
  command(Syntaxes.list, async () => (await import("./command/List.js")).list),
  command(Syntaxes.ps, async () => (await import("./command/List.js")).ps),
  command(Syntaxes.rm, async () => (await import("./command/Remove.js")).rm),
  command(Syntaxes.gc, async () => (await import("./command/Remove.js")).gc),
  command(Syntaxes.why, async () => (await import("./command/Why.js")).why),
  command(Syntaxes.graph, async () => (await import("./command/Graph.js")).graph),
  command(Syntaxes.group, async () => (await import("./command/Group.js")).group),
  command(Syntaxes.events, async () => (await import("./command/Events.js")).events),
  command(Syntaxes.doctor, async () => (await import("./command/Doctor.js")).doctor),
  command(Syntaxes.token, async () => (await import("./command/Token.js")).token),
  command(Syntaxes.schema, async () => (await import("./Daemon.js")).schema),
  command(Syntaxes.completions, async () => (await import("./command/Completions.js")).completions),
]
