/** Completions for shells, made from the descriptions of the commands. */
import type { Option, Options, Syntax } from "./Syntax.js"
import { common } from "./Syntax.js"

interface Named {
  readonly name: string
  readonly option: Option
}

const optionsOf = (syntax: Syntax): ReadonlyArray<Named> => {
  const all: Options = { ...syntax.options, ...common }
  return Object.entries(all).map(([name, option]) => ({ name, option }))
}

const flags = ({ name, option: { short } }: Named): ReadonlyArray<string> => [
  `--${name}`,
  ...(short === undefined ? [] : [`-${short}`]),
]

const wordsOf = ({ positionals }: Syntax): ReadonlyArray<string> =>
  typeof positionals.among === "object" ? positionals.among : []

/** The command that lists what a name may be, one a line. */
const listerOf = ({ positionals: { among } }: Syntax): string | undefined =>
  among === "jobs" ? "list -q" : among === "names" ? "ps -aq" : undefined

/** Options whose value is a file or a directory. */
const isPath = ({ option: { value } }: Named): boolean => value === "FILE" || value === "DIR"

/** What completes the value of an option. */
const valuesOf = ({ among, words }: Option): ReadonlyArray<string> | undefined => among ?? words

const names = (syntaxes: ReadonlyArray<Syntax>): string => syntaxes.map(({ name }) => name).join(" ")

/** A script for bash 3.2 and later. */
export const bash = (syntaxes: ReadonlyArray<Syntax>): string => {
  const values = syntaxes.flatMap((syntax) =>
    optionsOf(syntax).flatMap((named) => {
      const patterns = flags(named).map((flag) => `${syntax.name}:${flag}`)
      const words = valuesOf(named.option)
      if (words !== undefined) return [`    ${patterns.join("|")}) words="${words.join(" ")}" ;;`]
      if (isPath(named)) return [`    ${patterns.join("|")}) files=1 ;;`]
      return named.option.kind === "flag" ? [] : [`    ${patterns.join("|")}) return ;;`]
    }),
  )
  const commands = syntaxes.map((syntax) => {
    const options = optionsOf(syntax).flatMap(flags).join(" ")
    const words = wordsOf(syntax).join(" ")
    const lister = listerOf(syntax)
    const source = lister === undefined ? "" : ` names="${lister}"`
    const other = syntax.positionals.count === "command" ? " other=1" : ""
    return `    ${syntax.name}) options="${options}" words="${words}"${source}${other} ;;`
  })
  return `# bash completion for holdfast: eval "$(holdfast completions bash)"
_holdfast() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local command="" options="" words="" names="" files="" other="" prefix="" i
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${names(syntaxes)} --help --version" -- "$current"))
    return
  fi
  command="\${COMP_WORDS[1]}"
  if [ "$command" = help ]; then
    if [ "$COMP_CWORD" -eq 2 ]; then COMPREPLY=($(compgen -W "${names(syntaxes)}" -- "$current")); fi
    return
  fi
  # Most shells take --state=ru for three words, some for one.
  if [ "$current" = "=" ]; then
    current=""
  elif [ "$previous" = "=" ]; then
    previous="\${COMP_WORDS[COMP_CWORD-2]}"
  else
    case "$current" in
      --*=*)
        previous="\${current%%=*}"
        prefix="$previous="
        current="\${current#*=}"
        ;;
    esac
  fi
  case "$command:$previous" in
${values.join("\n")}
  esac
  if [ -n "$words" ]; then
    COMPREPLY=($(compgen -P "$prefix" -W "$words" -- "$current"))
    return
  fi
  if [ -n "$files" ]; then
    COMPREPLY=($(compgen -P "$prefix" -f -- "$current"))
    return
  fi
  case "$command" in
${commands.join("\n")}
  esac
  for ((i = 2; i < COMP_CWORD; i++)); do
    if [ -n "$other" ] && [ "\${COMP_WORDS[i]}" = "--" ]; then
      if [ "$i" -eq "$((COMP_CWORD - 1))" ]; then
        COMPREPLY=($(compgen -c -- "$current"))
      else
        COMPREPLY=($(compgen -f -- "$current"))
      fi
      return
    fi
  done
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$options" -- "$current")) ;;
    *)
      if [ -n "$names" ]; then words="$("\${COMP_WORDS[0]}" $names 2>/dev/null)"; fi
      COMPREPLY=($(compgen -W "$words" -- "$current"))
      ;;
  esac
}
complete -o default -F _holdfast holdfast
`
}

const zshText = (text: string): string => text.replaceAll("'", "'\\''").replaceAll(/[[\]:]/g, "\\$&")

/** A function for zsh, to be put as `_holdfast` into a directory of `$fpath`. */
export const zsh = (syntaxes: ReadonlyArray<Syntax>): string => {
  const cases = syntaxes.map((syntax) => {
    const options = optionsOf(syntax).map((named) => {
      const { help, kind, many } = named.option
      const values = valuesOf(named.option)
      const action =
        kind === "flag"
          ? ""
          : `:${named.option.value ?? "value"}:${values === undefined ? (isPath(named) ? "_files" : " ") : `(${values.join(" ")})`}`
      const spellings = flags(named)
      const star = many ? "*" : ""
      const text = `[${zshText(help)}]${action}'`
      return spellings.length > 1
        ? `'${star}'{${spellings.join(",")}}'${text}`
        : `'${star}${spellings[0]}${text}`
    })
    const words = wordsOf(syntax)
    const lister = listerOf(syntax)
    const rest =
      syntax.positionals.count === "command"
        ? ["'*::command:_normal'"]
        : lister !== undefined
          ? [`'*:name:{_holdfast_names ${lister}}'`]
          : words.length > 0
            ? [`'1:word:(${words.join(" ")})'`]
            : []
    return `      ${syntax.name})\n        _arguments ${[...options, ...rest].join(" \\\n          ")} ;;`
  })
  return `#compdef holdfast
_holdfast_names() {
  local -a names
  names=(\${(f)"$(holdfast "$@" 2>/dev/null)"})
  compadd -a names
}
_holdfast() {
  local -a commands
  commands=(
${syntaxes.map(({ name, summary }) => `    '${name}:${zshText(summary)}'`).join("\n")}
  )
  _arguments -C '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $words[1] in
${cases.join("\n")}
      help)
        _arguments '1:command:(${names(syntaxes)})' ;;
      esac ;;
  esac
}
if [ "$funcstack[1]" = _holdfast ]; then _holdfast "$@"; else compdef _holdfast holdfast; fi
`
}

const fishText = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`

/** Commands for fish. */
export const fish = (syntaxes: ReadonlyArray<Syntax>): string => {
  const lines = ["# fish completion for holdfast", "complete -c holdfast -f"]
  for (const { name, summary } of syntaxes) {
    lines.push(`complete -c holdfast -n __fish_use_subcommand -a ${name} -d ${fishText(summary)}`)
  }
  lines.push(`complete -c holdfast -n '__fish_seen_subcommand_from help' -a ${fishText(names(syntaxes))}`)
  for (const syntax of syntaxes) {
    const only = `complete -c holdfast -n '__fish_seen_subcommand_from ${syntax.name}'`
    for (const named of optionsOf(syntax)) {
      const { help, kind, short } = named.option
      const values = valuesOf(named.option)
      const parts = [only, `-l ${named.name}`, ...(short === undefined ? [] : [`-s ${short}`])]
      if (values !== undefined) parts.push(`-x -a ${fishText(values.join(" "))}`)
      else if (isPath(named)) parts.push("-r -F")
      else if (kind !== "flag") parts.push("-x")
      lines.push([...parts, `-d ${fishText(help)}`].join(" "))
    }
    const lister = listerOf(syntax)
    if (lister !== undefined) lines.push(`${only} -a '(holdfast ${lister} 2>/dev/null)'`)
    if (wordsOf(syntax).length > 0) lines.push(`${only} -a ${fishText(wordsOf(syntax).join(" "))}`)
    if (syntax.positionals.count === "command") lines.push(`${only} -a '(__fish_complete_subcommand)'`)
  }
  return `${lines.join("\n")}\n`
}
