/** `--help`: from the definitions, as wide as the terminal. */
import { commands } from '../commands/index.js'
import { optionsOf, type Command, type Option } from '../definition.js'
import { exitCodes } from '../exit-codes.js'
import { commonOptions } from '../parse.js'
import { displayWidth, pad, styleFor, widthOf, wrap, type Style, type Target } from '../style.js'

/** How an option is written: `-m, --memory SIZE`. */
export function optionSyntax(name: string, option: Option): string {
  const short = option.short === undefined ? '' : `-${option.short}, `
  if (option.value === undefined) return `${short}--${name}`
  const { placeholder } = option.value
  return `${short}--${name}${option.implied === undefined ? ` ${placeholder}` : `[=${placeholder}]`}`
}

/** The synopsis of a command. */
export function synopsis({ name, operands, groups }: Command): string {
  const options = groups.length === 0 ? '' : ' [options]'
  const separator = operands.complete === 'program' ? ' [--]' : ''
  return `hotcell ${name}${options}${separator} ${operands.usage}`.trimEnd()
}

/** Exit codes of a command: its own, and those of commands that run programs. */
export function exitCodesOf(command: Command): readonly (readonly [string, string])[] {
  const own = command.exitCodes ?? []
  if (command.operands.complete !== 'program')
    return [...own, ...exitCodes.filter(([code]) => code === '125' || code === '2')]
  // learn ends as it says, not as the program does.
  const isSession = 'stats' in optionsOf(command)
  return isSession ? [...exitCodes, ...own] : [...own, ...exitCodes.filter(([code]) => /^12[567]$|^2$/.test(code))]
}

export const TAGLINE = 'Runs programs that you do not trust in pre-forked Linux containers.'

/** `hotcell --help`. */
export function overview(target: Target): string {
  const style = styleFor(target)
  const width = widthOf(target)
  const lines = [
    ...wrap(TAGLINE, width),
    '',
    style.bold('Usage'),
    '  hotcell COMMAND [options] …',
    '',
    style.bold('Commands'),
    ...rows(
      [...commands, { name: 'help', summary: 'show the help of a command' }].map(({ name, summary }) => [
        style.cyan(name),
        summary,
      ]),
      width,
    ),
    '',
    style.bold('Options'),
    ...rows(
      [
        ['-h, --help', 'show this help'],
        ['-V, --version', 'show the version'],
      ],
      width,
    ),
    '',
    style.bold('Examples'),
    ...example("hotcell run -- sh -c 'id; ls /'", 'A program, and what it sees', style),
    ...example(
      'hotcell run --copy-in ./solution --memory 256M --cpu-time 2s -- ./solution < input',
      'With limits',
      style,
    ),
    ...example('hotcell doctor', 'What this host allows', style),
    '',
    'hotcell COMMAND --help tells more of each. The manual: man hotcell, docs/cli.md',
  ]
  return `${lines.join('\n')}\n`
}

/** `hotcell COMMAND --help`. */
export function commandHelp(command: Command, target: Target): string {
  const style = styleFor(target)
  const width = widthOf(target)
  const lines = [
    ...wrap(`${style.bold(`hotcell ${command.name}`)}: ${command.summary}`, width),
    '',
    style.bold('Usage'),
    `  ${synopsis(command)}`,
    '',
    ...command.description.flatMap((paragraph) => [...wrap(paragraph, width), '']),
  ]
  for (const { title, options } of [
    ...command.groups,
    { title: command.groups.length === 0 ? 'Options' : 'Help', options: commonOptions },
  ]) {
    const entries = Object.entries(options as Record<string, Option>)
    lines.push(
      style.bold(title),
      ...rows(
        entries.map(([name, option]) => optionRow(name, option, style)),
        width,
      ),
      '',
    )
  }
  lines.push(style.bold('Exit codes'), ...rows(exitCodesOf(command), width), '')
  lines.push(
    style.bold('Examples'),
    ...command.examples.flatMap(({ text, command: line }) => example(line, text, style)),
  )
  return `${lines.join('\n')}\n`
}

function optionRow(name: string, option: Option, style: Style): [string, string] {
  const more = [
    option.value !== undefined && option.repeatable ? 'may be repeated' : undefined,
    option.default === undefined ? undefined : `default: ${option.default}`,
  ].filter((part) => part !== undefined)
  return [
    optionSyntax(name, option),
    more.length === 0 ? option.summary : `${option.summary} ${style.dim(`(${more.join('; ')})`)}`,
  ]
}

/** Two columns; the second begins on a line of its own where the first is too wide. */
function rows(entries: readonly (readonly [string, string])[], width: number): string[] {
  const first = Math.min(26, Math.max(...entries.map(([left]) => displayWidth(left))))
  const indent = first + 4
  return entries.flatMap(([left, right]) => {
    const wrapped = wrap(right, Math.max(30, width - indent))
    const isWide = displayWidth(left) > first
    const [head = '', ...tail] = isWide ? ['', ...wrapped] : wrapped
    return [`  ${pad(left, first)}  ${head}`.trimEnd(), ...tail.map((line) => `${' '.repeat(indent)}${line}`)]
  })
}

function example(command: string, text: string, style: Style): string[] {
  return [`  ${style.dim(`# ${text}`)}`, `  ${command}`]
}
