/**
 * Completion scripts: from the definitions, so that no shell knows an option that there is not, or misses one.
 *
 * Behind the first word that is no option the command line is the program's, and so is its completion.
 */
import { commands } from '../commands/index.js'
import { optionsOf, type Command, type Option } from '../definition.js'
import { commonOptions } from '../parse.js'

type Shell = 'bash' | 'zsh' | 'fish'

const HEADER =
  'Made by "hotcell completion". Options of a command end at the program, whose own completion goes on from there.'

/** The script for a shell. */
export function completionScript(shell: Shell): string {
  return { bash, zsh, fish }[shell]()
}

/** All options of a command, with those that every command has. */
function entriesOf(command: Command): [string, Option][] {
  return Object.entries({ ...optionsOf(command), ...commonOptions })
}

/** Spellings of options that take the next word as their value. */
function valuedSpellings(command: Command): string[] {
  return entriesOf(command).flatMap(([name, option]) => {
    if (option.value === undefined || option.implied !== undefined) return []
    return option.short === undefined ? [`--${name}`] : [`--${name}`, `-${option.short}`]
  })
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

// ── bash ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function bash(): string {
  const names = [...commands.map(({ name }) => name), 'help', '--help', '--version']
  return `# ${HEADER}
_hotcell() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]}
  local options= valued= operands= index word
  COMPREPLY=()
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=( $(compgen -W ${quoted(names.join(' '))} -- "$current") )
    return
  fi
  case $command in
${commands.map(bashCommand).join('\n')}
    help) operands=${quoted(commands.map(({ name }) => name).join(' '))} ;;
    *) return ;;
  esac
  # --option=value comes as three words.
  if [[ $current == = ]]; then current=; elif [[ $previous == = ]]; then previous=\${COMP_WORDS[COMP_CWORD-2]}; fi
  for (( index = 2; index < COMP_CWORD; index++ )); do
    word=\${COMP_WORDS[index]}
    if [[ $word == -- ]]; then index=$((index + 1)); break; fi
    if [[ $word == -* ]]; then
      if [[ " $valued " == *" $word "* && \${COMP_WORDS[index+1]} != = ]]; then index=$((index + 1)); fi
      continue
    fi
    [[ $word == = ]] && { index=$((index + 1)); continue; }
    break
  done
  if (( index < COMP_CWORD )) || [[ \${COMP_WORDS[index-1]} == -- ]] && (( index <= COMP_CWORD )); then
    if [[ $operands != '<program>' ]]; then return; fi
    if (( index == COMP_CWORD )); then
      COMPREPLY=( $(compgen -c -- "$current") )
    else
      compopt -o default 2>/dev/null
    fi
    return
  fi
  case $command:$previous in
${commands.flatMap(bashValues).join('\n')}
  esac
  if [[ " $valued " == *" $previous "* ]]; then return; fi
  if [[ $current == -* ]]; then
    COMPREPLY=( $(compgen -W "$options" -- "$current") )
  elif [[ $operands == '<program>' ]]; then
    COMPREPLY=( $(compgen -c -- "$current") )
  else
    COMPREPLY=( $(compgen -W "$operands" -- "$current") )
  fi
}
complete -F _hotcell hotcell
`
}

function bashCommand(command: Command): string {
  const options = entriesOf(command).map(([name]) => `--${name}`)
  const { complete } = command.operands
  const operands = complete === 'program' ? '<program>' : complete === 'nothing' ? '' : complete.join(' ')
  return [
    `    ${command.name})`,
    `      options=${quoted(options.join(' '))}`,
    `      valued=${quoted(valuedSpellings(command).join(' '))}`,
    `      operands=${quoted(operands)} ;;`,
  ].join('\n')
}

function bashValues(command: Command): string[] {
  return entriesOf(command).flatMap(([name, { value, short }]) => {
    if (value === undefined || value.complete === 'nothing') return []
    const spellings = [`--${name}`, ...(short === undefined ? [] : [`-${short}`])]
    const pattern = spellings.map((spelling) => `${command.name}:${spelling}`).join('|')
    const generate =
      value.complete === 'file'
        ? '-f'
        : value.complete === 'directory'
          ? '-d'
          : `-W ${quoted(value.complete.join(' '))}`
    const more = typeof value.complete === 'string' ? 'compopt -o filenames 2>/dev/null; ' : ''
    return [`    ${pattern}) ${more}COMPREPLY=( $(compgen ${generate} -- "$current") ); return ;;`]
  })
}

// ── zsh ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function zsh(): string {
  return `#compdef hotcell
# ${HEADER}
_hotcell() {
  local curcontext="$curcontext" state state_descr line
  typeset -A opt_args
  local -a subcommands
  subcommands=(
${commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`).join('\n')}
    'help:show the help of a command'
  )
  _arguments -C -A '-*' \\
    '(- *)'{-h,--help}'[show this help]' \\
    '(- *)'{-V,--version}'[show the version]' \\
    '1:command:->command' \\
    '*::argument:->argument'
  case $state in
    command) _describe -t commands 'command' subcommands ;;
    argument)
      curcontext="\${curcontext%:*}-$words[1]:"
      case $words[1] in
${commands.map(zshCommand).join('\n')}
        help) _arguments '1:command:(${commands.map(({ name }) => name).join(' ')})' ;;
      esac ;;
  esac
}
if [[ $funcstack[1] == _hotcell ]]; then _hotcell "$@"; else compdef _hotcell hotcell; fi
`
}

function zshCommand(command: Command): string {
  const { complete } = command.operands
  const operands =
    complete === 'program'
      ? [`'(-)1:program:{ _command_names -e }'`, `'*::argument:{ _normal }'`]
      : complete === 'nothing'
        ? []
        : [`'1:what:(${complete.join(' ')})'`]
  const lines = [...entriesOf(command).map(zshOption), ...operands]
  return [
    `        ${command.name})`,
    `          _arguments -s -S -A '-*' \\`,
    ...lines.map((line) => `            ${line} \\`),
  ]
    .join('\n')
    .replace(/ \\$/, ' ;;')
}

function zshOption([name, option]: [string, Option]): string {
  const text = option.summary.replaceAll(/[[\]\\:]/g, String.raw`\$&`)
  const { value, short } = option
  const repeat = value !== undefined && option.repeatable ? '*' : ''
  const action =
    value === undefined ? '' : `:${value.placeholder.replaceAll(/[:[\]]/g, ' ').trim()}:${zshAction(value.complete)}`
  // Of one whose value may be absent, the value follows the equals sign only.
  const isOptional = value !== undefined && option.implied !== undefined
  const long = value === undefined ? `--${name}` : isOptional ? `--${name}=-` : `--${name}=`
  const described = quoted(`[${text}]${isOptional ? `:${action}` : action}`)
  if (short === undefined) return `${quoted(repeat + long)}${described}`
  const exclusion = repeat === '' ? quoted(`(-${short} --${name})`) : quoted('*')
  return `${exclusion}{-${short}${value === undefined ? '' : '+'},${long}}${described}`
}

function zshAction(complete: 'file' | 'directory' | 'nothing' | readonly string[]): string {
  if (complete === 'file') return '_files'
  if (complete === 'directory') return '_files -/'
  return complete === 'nothing' ? ' ' : `(${complete.join(' ')})`
}

// ── fish ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function fish(): string {
  const lines = [
    `# ${HEADER}`,
    '',
    '# Whether the cursor is among the options of a command, and not behind its program yet.',
    'function __hotcell_options_of',
    '    set -l words (commandline -opc)',
    '    test (count $words) -ge 2; and test $words[2] = $argv[1]; or return 1',
    '    set -l valued $argv[2..-1]',
    '    set -l skip 0',
    '    for word in $words[3..-1]',
    '        if test $skip = 1',
    '            set skip 0',
    "        else if test $word = '--'",
    '            return 1',
    '        else if contains -- $word $valued',
    '            set skip 1',
    "        else if not string match -q -- '-*' $word",
    '            return 1',
    '        end',
    '    end',
    'end',
    '',
    'complete -c hotcell -f',
    "complete -c hotcell -n '__fish_is_nth_token 1' -s h -l help -d 'show this help'",
    "complete -c hotcell -n '__fish_is_nth_token 1' -s V -l version -d 'show the version'",
    "complete -c hotcell -n '__fish_is_nth_token 1' -a help -d 'show the help of a command'",
    `complete -c hotcell -n '__fish_seen_subcommand_from help' -a ${quoted(commands.map(({ name }) => name).join(' '))}`,
    ...commands.flatMap(fishCommand),
  ]
  return `${lines.join('\n')}\n`
}

function fishCommand(command: Command): string[] {
  const { name, summary, operands } = command
  const valued = valuedSpellings(command).join(' ')
  const condition = `-n '__hotcell_options_of ${name}${valued === '' ? '' : ` ${valued}`}'`
  const { complete } = operands
  const arguments_ =
    complete === 'program'
      ? [
          `complete -c hotcell -n '__fish_seen_subcommand_from ${name}' -x -a '(__fish_complete_subcommand --fcs-skip=2 ${valued})'`,
        ]
      : complete === 'nothing'
        ? []
        : [`complete -c hotcell ${condition} -x -a ${quoted(complete.join(' '))}`]
  return [
    '',
    `complete -c hotcell -n '__fish_is_nth_token 1' -a ${name} -d ${quoted(summary)}`,
    ...entriesOf(command).map(([long, option]) => fishOption(condition, long, option)),
    ...arguments_,
  ]
}

function fishOption(condition: string, name: string, option: Option): string {
  const { value, short, summary } = option
  const parts = [`complete -c hotcell ${condition}`, ...(short === undefined ? [] : [`-s ${short}`]), `-l ${name}`]
  if (value !== undefined && option.implied === undefined) {
    if (value.complete === 'file') parts.push('-r -F')
    else if (value.complete === 'directory') parts.push("-x -a '(__fish_complete_directories)'")
    else if (value.complete === 'nothing') parts.push('-x')
    else parts.push(`-x -a ${quoted(value.complete.join(' '))}`)
  }
  return [...parts, `-d ${quoted(summary)}`].join(' ')
}
