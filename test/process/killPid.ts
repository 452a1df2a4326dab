/** Fails for a number that is no pid of another process, such as the 0 that `Number` makes of a file with nothing in it yet. */
export const mustBePid = (pid: number): void => {
  if (!Number.isSafeInteger(pid) || pid <= 1) throw new RangeError(`${pid} is no pid that a test may ask for`)
}

/** Kills what should have ended by itself; it may do so at the very moment. */
export const killLeft = (pid: number): void => {
  try {
    killPid(pid, "SIGKILL")
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ESRCH") throw cause
  }
}

/**
 * kill(2), as the linter demands it of the tests; a pid below 0 means its group. Never the own group (0) or everything
 * (-1): that is the whole run, and whatever started it.
 */
export const killPid = (target: number, signal: NodeJS.Signals | 0): void => {
  mustBePid(Math.abs(target))
  // eslint-disable-next-line no-restricted-properties
  process.kill(target, signal)
}
