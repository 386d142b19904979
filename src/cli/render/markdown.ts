/** docs/cli.md, from the definitions. */
import { commands } from '../commands/index.js'
import type { Command, Option } from '../definition.js'
import { exitCodes } from '../exit-codes.js'
import { exitCodesOf, optionSyntax, synopsis, TAGLINE } from './help.js'
import { configurationText, environment } from './texts.js'

const CONFIGURATION = `{
  "$schema": "./node_modules/hotcell/schema/hotcell.config.schema.json",
  "options": { "memory": "512M", "wall-time": "30s", "ro-bind": ["./fixtures:/fixtures"] },
  "profiles": {
    "judge": { "seccomp": "judge", "cpu-time": "2s", "memory": "256M" },
    "slow": { "extends": "judge", "cpu-time": "10s" }
  }
}`

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;')

function optionRow(name: string, option: Option): string {
  const parts = [
    `${option.summary.charAt(0).toUpperCase()}${option.summary.slice(1)}.`,
    option.details,
    option.value !== undefined && option.repeatable ? 'May be repeated.' : undefined,
    option.default === undefined ? undefined : `_Default: ${option.default}._`,
  ]
  return `| \`${optionSyntax(name, option).replaceAll('|', '\\|')}\` | ${cell(parts.filter((part) => part !== undefined).join(' '))} |`
}

function table(head: readonly [string, string], rows: readonly string[]): string[] {
  return [`| ${head[0]} | ${head[1]} |`, '| --- | --- |', ...rows, '']
}

/** The paragraph in front of the options that several commands share says so once. */
function commandSection(command: Command, seen: Set<string>): string[] {
  const lines = [`## hotcell ${command.name}`, '', ...command.description.flatMap((paragraph) => [paragraph, ''])]
  lines.push('```sh', synopsis(command), '```', '')
  const again: string[] = []
  for (const { title, options } of command.groups) {
    const rows = Object.entries(options).map(([name, option]) => optionRow(name, option))
    const key = rows.join('\n')
    if (seen.has(key)) {
      again.push(title)
      continue
    }
    seen.add(key)
    lines.push(`### ${title}`, '', ...table(['Option', ''], rows))
  }
  if (again.length > 0) lines.push(`And as of \`hotcell run\`: ${again.join(', ')}.`, '')
  const own = exitCodesOf(command).filter((row) => !exitCodes.includes(row))
  if (own.length > 0)
    lines.push(
      ...table(
        ['Exit code', ''],
        own.map(([code, meaning]) => `| ${code} | ${cell(meaning)} |`),
      ),
    )
  lines.push('```sh', ...command.examples.flatMap(({ text, command: line }) => [`# ${text}`, line]), '```', '')
  return lines
}

/** The page, to be formatted. */
export function documentation(): string {
  const seen = new Set<string>()
  const lines = [
    '<!-- Made by scripts/generate-cli.mjs from src/cli: do not edit. -->',
    '',
    '# The command `hotcell`',
    '',
    `${TAGLINE} This page is also \`man hotcell\`, and in parts \`hotcell COMMAND --help\`.`,
    '',
    '```sh',
    'npx hotcell doctor                 # what this host allows',
    "npx hotcell run -- sh -c 'id; ls /' # a program, and what it sees",
    '```',
    '',
    ...table(
      ['Command', ''],
      commands.map(({ name, summary }) => `| [\`${name}\`](#hotcell-${name}) | ${cell(summary)} |`),
    ),
    ...commands.flatMap((command) => commandSection(command, seen)),
    '## Exit codes',
    '',
    'Of commands that run a program. A program may end with any of these codes itself; `--json` tells which it was.',
    '',
    ...table(
      ['Code', 'Means'],
      exitCodes.map(([code, meaning]) => `| ${code} | ${cell(meaning)} |`),
    ),
    'On a signal of its own the program ends, and hotcell exits with 128 + N. Of a signal that was sent to hotcell, and which the program died of as well, hotcell dies itself, so that a shell sees what has happened.',
    '',
    '## hotcell.config.json',
    '',
    ...configurationText.flatMap((paragraph) => [paragraph, '']),
    '```json',
    CONFIGURATION,
    '```',
    '',
    '## Environment',
    '',
    ...table(
      ['Variable', ''],
      environment.map(([name, meaning]) => `| \`${name}\` | ${cell(meaning)} |`),
    ),
  ]
  return `${lines.join('\n')}\n`
}
