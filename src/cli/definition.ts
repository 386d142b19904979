/**
 * What a command of the CLI is, as data. Help, completions, the manual page, docs/cli.md, the schema of the configuration
 * file and the parser are all made from it, so that none of them can say something else than the others.
 *
 * Definitions import nothing of hotcell's: `hotcell --help` loads neither the API nor the native addon. What a command does
 * is behind `load`.
 */
import type { ValueType } from './values.js'

interface OptionText {
  /** One sentence, without its full stop. */
  summary: string
  /** More sentences, for the manual page and docs/cli.md. */
  details?: string
  /** One letter. */
  short?: string
  /** What holds without it, in words. */
  default?: string
  /** Not for the configuration file. */
  cliOnly?: true
}

/** An option without a value; `--no-NAME` takes back what the configuration file says. */
export interface FlagOption extends OptionText {
  value?: undefined
}

/** An option with a value. */
export interface ValueOption<T = unknown> extends OptionText {
  value: ValueType<T>
  /** May be given more than once; those of the configuration file come first. */
  repeatable?: true
  /** May stand without its value, which is this one then; with it only as `--name=value`. */
  implied?: string
}

export type Option = FlagOption | ValueOption

/** Options by name, without the dashes. */
export type Options = Readonly<Record<string, Option>>

/** What is left of options when they were parsed: flags are booleans, and what was not given is undefined. */
export type Values<O extends object> = {
  -readonly [Name in keyof O]: O[Name] extends { value: ValueType<infer T> }
    ? O[Name] extends { repeatable: true }
      ? T[]
      : T | undefined
    : boolean
}

/** Options under a heading. */
export interface OptionGroup<O extends Options = Options> {
  title: string
  options: O
}

/** What stands behind the options. */
export interface Operands {
  /** As the synopsis shows them. */
  usage: string
  min: number
  max: number
  /** What completes them: the program and its arguments, these words, or nothing. */
  complete: 'program' | readonly string[] | 'nothing'
  /** What to say if there are too few. */
  missing?: string
}

export interface Example {
  text: string
  command: string
}

/** The options of all groups. */
export type Joined<G extends readonly OptionGroup[]> = G extends readonly [
  OptionGroup<infer First>,
  ...infer Rest extends readonly OptionGroup[],
]
  ? First & Joined<Rest>
  : object

/** What a command with these groups does with what it was given. Resolves to the exit code. */
export type Action<G extends readonly OptionGroup[]> = (invocation: {
  values: Values<Joined<G>>
  operands: readonly string[]
}) => Promise<number>

/** A command. */
export interface Command<G extends readonly OptionGroup[] = readonly OptionGroup[]> {
  name: string
  /** One sentence, without its full stop. */
  summary: string
  /** Paragraphs. */
  description: readonly string[]
  operands: Operands
  groups: G
  examples: readonly Example[]
  /** Of this command's own, beside those that all have. */
  exitCodes?: readonly (readonly [code: string, meaning: string])[]
  /** What it does. Loaded when it is called, so that nobody waits for what the other commands need. */
  load(): Promise<(invocation: { values: never; operands: readonly string[] }) => Promise<number>>
}

/** Declares a command. That its action takes the values of its groups is checked here. */
export function defineCommand<const G extends readonly OptionGroup[]>(
  command: Command<G> & { load(): Promise<Action<G>> },
): Command {
  return command
}

/** All options of a command. */
export function optionsOf(command: Command): Options {
  return Object.assign({}, ...command.groups.map(({ options }) => options)) as Options
}

/** Declares a group. */
export function group<const O extends Options>(title: string, options: O): OptionGroup<O> {
  return { title, options }
}
