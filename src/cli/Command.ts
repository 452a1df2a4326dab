/** What the program can be told to do. */

/** A command: its one line of help, and the module that does it, loaded only when it is asked for. */
export interface Command {
  readonly summary: string
  readonly load: () => Promise<{ readonly run: (args: ReadonlyArray<string>) => Promise<number> }>
}

/** The commands by name, in the order of the help. */
export type Commands = Readonly<Record<string, Command>>
