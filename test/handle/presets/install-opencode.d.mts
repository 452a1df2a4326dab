/** The version that the tests run against. */
export const version: string
/** Where the program is; undefined when it is not installed. */
export const installed: () => string | undefined
/** Installs it, unless it is there, and returns where it is. Throws with what npm says. */
export const install: () => string
