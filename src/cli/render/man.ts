/** man/hotcell.1, from the definitions; man(7). */
import { commands } from '../commands/index.js'
import type { Command, Option } from '../definition.js'
import { exitCodes } from '../exit-codes.js'
import { CONFIG_FILE } from '../config-file.js'
import { commonOptions } from '../parse.js'
import { exitCodesOf, synopsis, TAGLINE } from './help.js'
import { configurationText, environment } from './texts.js'

/** Text of a line: what troff would obey is escaped. */
function roff(text: string): string {
  const escaped = text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('…', '\\[u2026]')
    .replaceAll('–', '\\[en]')
    .replaceAll("'", '\\(aq')
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped
}

function optionTerm(name: string, option: Option): string {
  const short = option.short === undefined ? '' : `\\fB\\-${option.short}\\fR, `
  if (option.value === undefined) return `${short}\\fB\\-\\-${roff(name)}\\fR`
  const value = `\\fI${roff(option.value.placeholder)}\\fR`
  return `${short}\\fB\\-\\-${roff(name)}\\fR${option.implied === undefined ? ` ${value}` : `[=${value}]`}`
}

function optionText({ summary, details, default: otherwise, ...option }: Option): string {
  const sentence = `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`
  const repeat = option.value !== undefined && 'repeatable' in option ? ' May be repeated.' : ''
  const fallback = otherwise === undefined ? '' : ` Default: ${otherwise}.`
  return `${sentence}${details === undefined ? '' : ` ${details}`}${repeat}${fallback}`
}

function commandSection(command: Command): string[] {
  const lines = [`.SS ${roff(command.name)}`, `.B ${roff(synopsis(command))}`, '.PP']
  for (const paragraph of command.description) lines.push(roff(paragraph), '.PP')
  for (const { title, options } of command.groups) {
    lines.push(`\\fI${roff(title)}\\fR`)
    for (const [name, option] of Object.entries(options))
      lines.push('.TP', optionTerm(name, option), roff(optionText(option)))
    lines.push('.PP')
  }
  const own = exitCodesOf(command).filter((row) => !exitCodes.includes(row))
  for (const [code, meaning] of own) lines.push('.TP', `Exit code ${roff(code)}`, roff(`${meaning}.`))
  if (own.length > 0) lines.push('.PP')
  for (const { text, command: line } of command.examples)
    lines.push(roff(`${text}:`), '.PP', '.RS 4', '.nf', roff(line), '.fi', '.RE', '.PP')
  return lines
}

/** The page. */
export function manualPage(version: string): string {
  const lines = [
    '.\\" Made by scripts/generate-cli.mjs from src/cli: do not edit.',
    `.TH HOTCELL 1 "" "hotcell ${version}" "User Commands"`,
    '.SH NAME',
    'hotcell \\- run programs that are not trusted in pre\\-forked Linux containers',
    '.SH SYNOPSIS',
    ...commands.flatMap((command) => [`.B ${roff(synopsis(command))}`, '.br']),
    '.SH DESCRIPTION',
    roff(TAGLINE),
    '.SH OPTIONS',
    '.TP',
    optionTerm('help', commonOptions.help),
    'Show help; with a command, that of the command.',
    '.TP',
    '\\fB\\-V\\fR, \\fB\\-\\-version\\fR',
    'Show the version.',
    '.SH COMMANDS',
    ...commands.flatMap(commandSection),
    '.SH EXIT STATUS',
    'Of commands that run a program:',
    ...exitCodes.flatMap(([code, meaning]) => [
      '.TP',
      roff(code),
      roff(`${meaning.charAt(0).toUpperCase()}${meaning.slice(1)}.`),
    ]),
    '.SH FILES',
    '.TP',
    `.I ${roff(CONFIG_FILE)}`,
    ...configurationText.flatMap((paragraph, index) => (index === 0 ? [roff(paragraph)] : ['.IP', roff(paragraph)])),
    '.SH ENVIRONMENT',
    ...environment.flatMap(([name, meaning]) => ['.TP', `.B ${roff(name)}`, roff(meaning)]),
    '.SH SEE ALSO',
    '.BR namespaces (7),',
    '.BR cgroups (7),',
    '.BR seccomp (2),',
    '.BR landlock (7),',
    '.BR strace (1)',
  ]
  // A break in front of a heading breaks nothing.
  const isIdle = (line: string, next = '.SH'): boolean => /^\.(?:PP|br)$/.test(line) && /^\.(?:PP|SS|SH)/.test(next)
  return `${lines.filter((line, index) => !isIdle(line, lines[index + 1])).join('\n')}\n`
}
