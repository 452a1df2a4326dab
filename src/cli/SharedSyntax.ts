/** What the syntaxes of several commands share. */
/** Ids of jobs. */
export const jobs = { name: "ID...", count: "some", among: "jobs" } as const

/** The id of a job. */
export const job = { name: "ID", count: "one", among: "jobs" } as const

/** Names of units, and ids of jobs. */
export const names = { name: "NAME|ID...", count: "some", among: "names" } as const

/** The name of a unit, or the id of a job. */
export const name = { name: "NAME|ID", count: "one", among: "names" } as const

/** No arguments. */
export const nothing = { name: "", count: "none" } as const

/** One of the two outputs. */
export const stream = {
  kind: "text",
  among: ["stdout", "stderr"],
  value: "NAME",
  help: "only stdout, or only stderr",
} as const

/** Signals that are often sent. */
export const signals = [
  "TERM",
  "INT",
  "HUP",
  "QUIT",
  "KILL",
  "USR1",
  "USR2",
  "STOP",
  "CONT",
  "WINCH",
] as const

/** What a command says that outlives a restart of the daemon. */
export const reconnects =
  "When the daemon is restarted meanwhile, this command goes on where it was; it gives up after 30 seconds without one."
