/**
 * What kills everything scoped when this program dies without a chance to do so itself (KILL, a crash, out of
 * memory). A small shell process holds the reading end of a pipe from this program and knows the groups that are
 * alive; end-of-file is the signal. It kills the groups at once, then whatever still carries this program's owner id
 * in its environment, again and again until nothing does.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ProcessIdentity } from "./ProcessIdentity.js"

/** Stands watch over process groups. */
export class Guardian extends Context.Tag("holdfast/process/Guardian")<
  Guardian,
  {
    /** Makes sure that a guardian is there; fails with the system's error when none can be started. */
    readonly ensure: Effect.Effect<void, Error>
    /** From now on the group of this leader dies with the program. */
    readonly watch: (leader: ProcessIdentity) => void
    /** The group is empty: its id may be handed out again. */
    readonly unwatch: (leader: ProcessIdentity) => void
    /** The guardian's pid, once there is one. */
    readonly pid: () => number | undefined
  }
>() {}

/**
 * The guardian, in POSIX shell: under 1 MB where a second Node would take 40. It starts no program until the end.
 *
 * Input: the owner id, then lines `+ PID START`, `- PID` and `q`. A group is a variable `g_PID`: adding and dropping
 * stay cheap however many there are. The leader's start time is compared before its group is killed, so a pid that
 * was handed out again is left alone; a leader that is gone leaves a group id that stays reserved while the group
 * has a member. Where there is no /proc, `ps` compares nothing but the pid, and shows the environments.
 */
const script = `
trap '' HUP INT TERM QUIT TSTP TTIN TTOU PIPE USR1 USR2
read -r owner || exit 0
while read -r op pid start; do
  case $op in
    +) eval "g_$pid=$start" ;;
    -) unset "g_$pid" ;;
    q) exit 0 ;;
  esac
done
nl='
'
started() {
  found=
  [ -r "/proc/$1/stat" ] || return 0
  text=
  while read -r line; do text="$text $line"; done < "/proc/$1/stat"
  set -- \${text##*) }
  shift 19 && found=$1
}
strike() {
  for entry in $(set); do
    case $entry in g_[0-9]*=*) ;; *) continue ;; esac
    pid=\${entry%%=*}; pid=\${pid#g_}
    eval "start=\\$g_$pid"
    [ "$pid" -gt 1 ] 2>/dev/null || continue
    started "$pid" 2>/dev/null
    [ -z "$found" ] || [ "$found" = "$start" ] || continue
    kill -KILL "-$pid"
  done
}
marked() {
  if [ -r /proc/self/environ ]; then
    for file in $(grep -lF -e "$owner" /proc/[0-9]*/environ); do
      file=\${file#/proc/}
      echo "\${file%/environ}"
    done
  else
    ps -axwwE -o pid=,command= | while read -r pid rest; do
      case $rest in *"HOLDFAST_OWNER=$owner"*|*"HOLDFAST_LINEAGE="*"$owner"*) echo "$pid" ;; esac
    done
  fi
}
IFS=" $nl"
strike
round=0
while [ "$round" -lt 100 ]; do
  pids=$(marked)
  [ -n "$pids" ] || exit 0
  for pid in $pids; do [ "$pid" -gt 1 ] && [ "$pid" != $$ ] && kill -KILL "$pid"; done
  round=$((round + 1))
  [ "$round" -gt 5 ] && sleep 0.05
done
`

/** A guardian for the program run with this owner id. It ends when the layer is closed, touching nothing. */
export const layer = (owner: string): Layer.Layer<Guardian> =>
  Layer.scoped(
    Guardian,
    Effect.acquireRelease(
      Effect.sync(() => {
        let child: ChildProcess | undefined
        let closing = false
        const watched = new Map<number, string>()
        let unsent = ""

        const flush = (): void => {
          const text = unsent
          unsent = ""
          if (text !== "" && child !== undefined) child.stdin!.write(text)
        }
        const send = (line: string): void => {
          // Many spawns and ends of one turn go out in one write.
          if (unsent === "") setImmediate(flush)
          unsent += `${line}\n`
        }

        const start = (): ChildProcess => {
          const guardian = spawn("/bin/sh", ["-c", script, "holdfast-guardian"], {
            cwd: "/",
            detached: true,
            // None of our marks: an outer Holdfast that ends us must leave the guardian to do its work.
            env: { PATH: `${process.env.PATH ?? ""}:/usr/bin:/bin`, LC_ALL: "C" },
            stdio: ["pipe", "ignore", "ignore"],
          })
          // Without a listener a failed start would end the program.
          guardian.on("error", () => {})
          if (guardian.pid === undefined) return guardian
          child = guardian
          guardian.unref()
          guardian.stdin!.on("error", () => {})
          ;(guardian.stdin as unknown as { unref: () => void }).unref()
          guardian.once("exit", () => {
            if (child !== guardian) return
            child = undefined
            // Somebody ended it. While there is something to guard there has to be another.
            if (!closing && watched.size > 0) start()
          })
          guardian.stdin!.write(`${owner}\n`)
          for (const [pid, startTime] of watched) guardian.stdin!.write(`+ ${pid} ${startTime}\n`)
          return guardian
        }

        const service: Context.Tag.Service<Guardian> = {
          ensure: Effect.suspend(() => {
            if (child !== undefined) return Effect.void
            const guardian = start()
            return guardian.pid === undefined
              ? Effect.async<never, Error>((resume) => {
                  guardian.once("error", (cause) => resume(Effect.fail(cause)))
                })
              : Effect.void
          }),
          watch: ({ pid, startTime }) => {
            // macOS start times have spaces, which the shell is not to see; it compares none there.
            watched.set(pid, startTime.replaceAll(" ", "_"))
            send(`+ ${pid} ${startTime.replaceAll(" ", "_")}`)
          },
          unwatch: ({ pid }) => {
            watched.delete(pid)
            send(`- ${pid}`)
          },
          pid: () => child?.pid,
        }
        const close = (): Promise<void> =>
          new Promise((resolve) => {
            closing = true
            flush()
            if (child === undefined) return resolve()
            child.ref()
            child.once("exit", () => resolve())
            child.stdin!.end("q\n")
          })
        return { service, close }
      }),
      ({ close }) => Effect.promise(close),
    ).pipe(Effect.map(({ service }) => service)),
  )
