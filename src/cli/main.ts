#!/usr/bin/env node
/**
 * The command `hotcell`. What is imported here is what every call waits for: definitions and the parser. The API, and with it the native addon, comes with
 * the action of a command that needs it, the texts of help with a call for help.
 */
import { commandNamed, commands } from './commands/index.js'
import { readConfig } from './config-file.js'
import { optionsOf, type Command } from './definition.js'
import { USAGE } from './exit-codes.js'
import { nearest } from '../options/nearest.js'
import { parseArguments, quote, readValues } from './parse.js'
import { stderr, stdout } from './sink.js'
import { UsageError } from './usage-error.js'

async function main(args: readonly string[]): Promise<number> {
  const [first, ...rest] = args
  switch (first) {
    case undefined:
      await stderr.write((await import('./render/help.js')).overview(process.stderr))
      return USAGE
    case '--help':
    case '-h':
      return await help(undefined)
    case 'help':
      return await help(rest[0])
    case '--version':
    case '-V':
      await stdout.write(`${(await import('./package-info.js')).packageVersion()}\n`)
      return 0
    default:
      return await perform(findCommand(first), rest)
  }
}

async function help(name: string | undefined): Promise<number> {
  const { commandHelp, overview } = await import('./render/help.js')
  await stdout.write(name === undefined ? overview(process.stdout) : commandHelp(findCommand(name), process.stdout))
  return 0
}

function findCommand(name: string): Command {
  const command = commandNamed(name)
  if (command !== undefined) return command
  const names = [...commands.map((known) => known.name), 'help']
  const close = nearest(name, names)
  const what = name.startsWith('-')
    ? `there is no option ${name} before the command`
    : `there is no command ${quote(name)}`
  throw new UsageError(
    `${what}. ${close === undefined ? `Known are ${names.join(', ')}` : `Did you mean ${close}?`}\nTry hotcell --help`,
  )
}

async function perform(command: Command, args: readonly string[]): Promise<number> {
  try {
    const { given, operands, help: wantsHelp } = parseArguments(command, args, process.cwd())
    if (wantsHelp) return await help(command.name)
    const options = optionsOf(command)
    const own = readValues(options, given)
    const isConfigurable = 'no-config' in options
    const choice = { file: own['config'], profile: own['profile'], none: own['no-config'] }
    const configured = isConfigurable ? readConfig(choice as Parameters<typeof readConfig>[0], process.cwd()) : []
    const values = readValues(options, [...configured, ...given])
    const action = await command.load()
    return await action({ values: values as never, operands })
  } catch (error) {
    if (error instanceof UsageError) error.message += `\nTry hotcell ${command.name} --help`
    throw error
  }
}

async function report(error: unknown): Promise<number> {
  const { describeFailure, exitCodeFor } = await import('./failure.js')
  const { harmless, styleFor } = await import('./style.js')
  // Names of options and paths may come from anywhere.
  const lines = describeFailure(error).split('\n').map(harmless)
  await stderr.write(`${styleFor(process.stderr).bold('hotcell:')} ${lines.join('\n')}\n`)
  return exitCodeFor(error)
}

// Not only its code is set: a terminal or a pipe that was read from must not keep this process.
process.exit(await main(process.argv.slice(2)).catch(report))
