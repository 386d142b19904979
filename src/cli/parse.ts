/**
 * Arguments to values.
 *
 * The parser is Node's own, `util.parseArgs`, for its tokens: it knows the grammar (`--name value`, `--name=value`, `-n value`, `-nvalue`, `-ab`,
 * `--`) and is maintained and documented with Node. Looked at beside it:
 *
 * - commander 15 is well kept but needs Node 22.12, and 20.19 is supported here; of what it brings beyond tokens, help and suggestions, the
 *   former has to come from the same definitions as completions, manual page and schema anyway.
 * - yargs brings six packages. citty is at 0.x. cac does not stop at the first operand, which `run` and its kin depend on.
 *
 * And hotcell has no dependency at run time: what installs it to run hostile code trusts one package, and can install it offline.
 *
 * What is decided here is which options there are, what their values have to look like, and what is said about those that aren't.
 */
import { parseArgs } from 'node:util'
import { nearest } from '../options/nearest.js'
import { optionsOf, type Command, type Option, type Options, type ValueOption } from './definition.js'
import { UsageError } from './usage-error.js'

/** An option that was given, wherever that was. */
export interface Given {
  name: string
  /** Of the value, or whether the flag is set. */
  value: string | boolean
  /** How the user wrote it, for messages: `--memory`, `hotcell.config.json: profiles.judge.memory`. */
  where: string
  /** Where relative paths of the host start. */
  base: string
}

/** What was asked for. */
export interface Parsed {
  given: Given[]
  operands: string[]
  /** Whether `--help` was among the options. */
  help: boolean
}

/** Options that every command has, beside its own. */
export const commonOptions = {
  help: { short: 'h', summary: 'show this help', cliOnly: true },
} as const satisfies Options

const isFlag = (option: Option): boolean => option.value === undefined

/** Takes arguments apart. @throws {UsageError} */
export function parseArguments(command: Command, args: readonly string[], base: string): Parsed {
  const known: Options = { ...optionsOf(command), ...commonOptions }
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(
      Object.entries(known).map(([name, option]) => {
        // One whose value may be absent takes none from the next argument: what --name= gives, the token tells all the same.
        const type = isFlag(option) || (option as ValueOption).implied !== undefined ? 'boolean' : 'string'
        return [name, { type, ...(option.short === undefined ? {} : { short: option.short }) }]
      }),
    ),
  })
  const given: Given[] = []
  let operandsFrom = args.length
  for (const token of tokens) {
    // Options end at the first operand: what follows belongs to the program.
    if (token.kind === 'positional') {
      operandsFrom = token.index
      break
    }
    if (token.kind === 'option-terminator') {
      operandsFrom = token.index + 1
      break
    }
    given.push(readOption(command, known, token.name, token.rawName, token.value, base))
  }
  const operands = args.slice(operandsFrom)
  const help = given.some(({ name, value }) => name === 'help' && value === true)
  if (!help) checkOperands(command, operands)
  return { given, operands, help }
}

function readOption(
  command: Command,
  known: Options,
  name: string,
  rawName: string,
  value: string | undefined,
  base: string,
): Given {
  const option = Object.hasOwn(known, name) ? known[name] : undefined
  if (option === undefined) {
    const positive = name.startsWith('no-') ? name.slice(3) : ''
    const negated = Object.hasOwn(known, positive) ? known[positive] : undefined
    if (negated === undefined || !isFlag(negated)) throw new UsageError(unknownOption(command, known, rawName))
    if (value !== undefined) throw new UsageError(`${rawName} takes no value`)
    return { name: positive, value: false, where: rawName, base }
  }
  if (isFlag(option)) {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value`)
    return { name, value: true, where: rawName, base }
  }
  const { implied, value: type } = option as ValueOption
  const text = value ?? implied
  if (text === undefined) throw new UsageError(`${rawName} needs a value: ${type.expected}`)
  return { name, value: text, where: rawName, base }
}

function unknownOption(command: Command, known: Options, rawName: string): string {
  const names = Object.keys(known)
  const name = rawName.replace(/^-+/, '')
  const close = rawName.startsWith('--') ? nearest(name, names) : undefined
  const what = `hotcell ${command.name} has no option ${rawName}`
  return close === undefined ? what : `${what}. Did you mean --${close}?`
}

function checkOperands({ name, operands: { usage, min, max, complete, missing } }: Command, given: string[]): void {
  if (given.length < min) throw new UsageError(missing ?? `hotcell ${name} needs ${usage}`)
  if (given.length > max) {
    throw new UsageError(
      `hotcell ${name} takes ${max === 0 ? 'no argument' : `only ${usage}`}: what is ${quote(given[max] as string)}?`,
    )
  }
  if (typeof complete === 'string') return
  for (const operand of given) {
    if (complete.includes(operand)) continue
    const close = nearest(operand, complete)
    const cure = close === undefined ? `Known are ${complete.join(', ')}` : `Did you mean ${close}?`
    throw new UsageError(`hotcell ${name} does not know ${quote(operand)}. ${cure}`)
  }
}

/**
 * The values of options, of which later ones override earlier ones, or follow them if they may be repeated.
 *
 * @throws {UsageError} that names where the value was given
 */
export function readValues(options: Options, given: readonly Given[]): Record<string, unknown> {
  const values: Record<string, unknown> = {}
  for (const [name, option] of Object.entries(options)) {
    values[name] = option.value === undefined ? false : option.repeatable ? [] : undefined
  }
  for (const { name, value, where, base } of given) {
    const option = options[name]
    if (option === undefined) continue
    if (option.value === undefined || typeof value === 'boolean') {
      values[name] = value
      continue
    }
    const read = option.value.parse(value, { base })
    if (read === undefined) throw new UsageError(`${where} must be ${option.value.expected}, not ${quote(value)}`)
    if (option.repeatable) (values[name] as unknown[]).push(read)
    else values[name] = read
  }
  return values
}

/** What a user wrote, for a message: on one line, and without what a terminal would obey. */
export function quote(text: string): string {
  const short = text.length > 80 ? `${text.slice(0, 79)}…` : text
  return JSON.stringify(short)
}
