/**
 * The guardian's program, in POSIX shell: under 1 MB where a second Node would take 40. It starts no program until the
 * end.
 *
 * Input: the owner id, then lines `+ PID START` (a group and the start time of its leader), `e PID END` (the leader has
 * ended), `- PID` (the group is empty) and `q`. They become variables `g_PID` and `e_PID`: adding and dropping stay
 * cheap however many there are.
 *
 * A group whose leader lives is killed whole, and with it its session, once the leader's start time has been compared:
 * a pid may have been handed out again. A group whose leader is gone is killed when one of it vouches for it: by having
 * started before the leader's end, when the id could be nobody else's, or by its mark. Then whatever has the owner's id
 * in its environment, until nothing of both is found twice in a row: what forks faster than this looks must not get away.
 * Where there is no /proc, ps takes its place, and of groups without a leader only those with the id in their environment
 * are found.
 */
export const script = `
trap '' HUP INT TERM QUIT TSTP TTIN TTOU PIPE USR1 USR2
read -r owner || exit 0
while read -r op pid start; do
  case $op in
    +) eval "g_$pid=$start" ;;
    e) unset "g_$pid"; eval "e_$pid=$start" ;;
    -) unset "g_$pid" "e_$pid" ;;
    q) exit 0 ;;
  esac
done
nl='
'
IFS=" $nl"
has_proc=
[ -r /proc/self/environ ] && has_proc=1
look() {
  state= group= session= found=
  if [ -n "$has_proc" ]; then
    text=
    while read -r line; do text="$text $line"; done < "/proc/$1/stat"
    [ -n "$text" ] || return 0
    set -- \${text##*) }
    state=$1 group=$3 session=$4 found=\${20}
  else
    set -- $(ps -o stat=,pgid=,lstart= -p "$1")
    [ $# -eq 7 ] || return 0
    state=$1 group=$2 found=$3_$4_$5_$6_$7
  fi
}
now=0
[ -n "$has_proc" ] && read -r up rest < /proc/uptime && now=\${up%.*}\${up#*.}
for entry in $(set); do
  case $entry in g_[0-9]*=*) ;; *) continue ;; esac
  pid=\${entry%%=*}
  pid=\${pid#g_}
  eval "start=\\$g_$pid"
  [ "$pid" -gt 1 ] || continue
  look "$pid"
  if [ -z "$found" ]; then
    eval "e_$pid=$now"
  elif [ "$found" = "$start" ]; then
    eval "s_$pid=1"
    kill -KILL "-$pid"
  fi
done
orphans() {
  [ -n "$has_proc" ] || return 0
  for file in /proc/[0-9]*; do
    pid=\${file#/proc/}
    look "$pid"
    case $state in ''|Z|X) continue ;; esac
    eval "end=\\\${e_$group:-} ours=\\\${s_$session:-}"
    [ -n "$ours" ] && echo "$pid"
    [ -n "$end" ] && [ "$found" -le "$end" ] && echo "-$group $pid"
  done
}
marked() {
  if [ -n "$has_proc" ]; then
    for file in $(grep -lF -e "$owner" /proc/[0-9]*/environ); do
      pid=\${file#/proc/}
      pid=\${pid%/environ}
      look "$pid"
      eval "end=\\\${e_\${group:-0}:-}"
      [ -n "$end" ] && echo "-$group"
      echo "$pid"
    done
  else
    ps -axwwE -o pid=,command= | while read -r pid rest; do
      case $rest in *"HOLDFAST_OWNER=$owner"*|*"HOLDFAST_LINEAGE="*"$owner"*) echo "$pid" ;; esac
    done
  fi
}
round=0 quiet=0
while [ "$round" -lt 200 ] && [ "$quiet" -lt 2 ]; do
  pids=$(orphans; marked)
  quiet=$((quiet + 1))
  for signal in STOP KILL; do
    for pid in $pids; do
      [ "\${pid#-}" -gt 1 ] && [ "\${pid#-}" != $$ ] && kill -$signal "$pid" && quiet=0
    done
  done
  round=$((round + 1))
  [ "$quiet" -eq 1 ] && sleep 0.01
done
`
