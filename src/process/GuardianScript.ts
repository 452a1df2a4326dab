/**
 * The guardian's program, in POSIX shell: under 1 MB where a second Node would take 40. It starts no program until the
 * end.
 *
 * Input: the owner id, then lines `+ PID START` (a group and the start time of its leader), `e PID END` (the leader has
 * ended), `- PID` (the group is empty) and `q`. They become variables `g_PID` and `e_PID`: adding and dropping stay
 * cheap however many there are.
 *
 * A group whose leader lives is killed whole, once the leader's start time has been compared: a pid may have been
 * handed out again. Of a group whose leader is gone only those are killed that started before its end, when the id
 * could be nobody else's. Then whatever has the owner's id in its environment, until nothing of both is found twice in
 * a row: what forks faster than this looks must not get away. Where there is no /proc, ps takes its place, and of
 * groups without a leader only those with the id in their environment are found.
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
  state= group= found=
  if [ -n "$has_proc" ]; then
    text=
    while read -r line; do text="$text $line"; done < "/proc/$1/stat"
    [ -n "$text" ] || return 0
    set -- \${text##*) }
    state=$1 group=$3 found=\${20}
  else
    set -- $(ps -o stat=,pgid=,lstart= -p "$1")
    [ $# -eq 7 ] || return 0
    state=$1 group=$2 found=$3_$4_$5_$6_$7
  fi
}
now=0
[ -n "$has_proc" ] && read -r up rest < /proc/uptime && now=\${up%.*}\${up#*.}
orphaned=
for entry in $(set); do
  case $entry in
    e_[0-9]*=*) orphaned=1; continue ;;
    g_[0-9]*=*) ;;
    *) continue ;;
  esac
  pid=\${entry%%=*}
  pid=\${pid#g_}
  eval "start=\\$g_$pid"
  [ "$pid" -gt 1 ] || continue
  look "$pid"
  if [ -z "$found" ]; then
    eval "e_$pid=$now"
    orphaned=1
  elif [ "$found" = "$start" ]; then
    kill -KILL "-$pid"
  fi
done
orphans() {
  [ -n "$orphaned" ] && [ -n "$has_proc" ] || return 0
  for file in /proc/[0-9]*; do
    look "\${file#/proc/}"
    case $state in ''|Z|X) continue ;; esac
    eval "end=\\\${e_$group:-}"
    [ -n "$end" ] && [ "$found" -le "$end" ] && echo "\${file#/proc/}"
  done
}
marked() {
  if [ -n "$has_proc" ]; then
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
round=0 quiet=0
while [ "$round" -lt 200 ] && [ "$quiet" -lt 2 ]; do
  pids=$(orphans; marked)
  quiet=$((quiet + 1))
  for signal in STOP KILL; do
    for pid in $pids; do [ "$pid" -gt 1 ] && [ "$pid" != $$ ] && kill -$signal "$pid" && quiet=0; done
  done
  round=$((round + 1))
done
`
