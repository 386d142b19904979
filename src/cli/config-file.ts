/**
 * hotcell.config.json: options that stand in a file, for all runs or by the name of a profile. Options of the command line come after them.
 *
 * A file that is found, rather than named, belongs to the user or to root, and is not writable for all: somebody else's file in /tmp must
 * not decide what the walls of a run are. A folder of somebody else's making that one has unpacked oneself is another matter (`--no-config`).
 */
import { closeSync, existsSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { nearest } from '../options/nearest.js'
import { configurable } from './configurable.js'
import type { Option } from './definition.js'
import { quote, type Given } from './parse.js'
import { UsageError } from './usage-error.js'

export const CONFIG_FILE = 'hotcell.config.json'

const OTHERS_WRITE = 0o002

export interface ConfigChoice {
  /** `--config`, absolute. */
  file: string | undefined
  profile: string | undefined
  /** `--no-config`. */
  none: boolean
}

/** What the file says, in the order in which it counts. @throws {UsageError} that names file and field */
export function readConfig({ file, profile, none }: ConfigChoice, directory: string): Given[] {
  if (none) {
    if (file !== undefined) throw new UsageError('--config and --no-config exclude each other')
    if (profile !== undefined) throw new UsageError('--profile needs a configuration file, and --no-config reads none')
    return []
  }
  const path = file ?? findUpwards(directory)
  if (path === undefined) {
    if (profile === undefined) return []
    throw new UsageError(`--profile ${profile}: there is no ${CONFIG_FILE} in ${directory}, or above it`)
  }
  return new ConfigFile(path, load(path, file === undefined)).given(profile)
}

function findUpwards(directory: string): string | undefined {
  for (let folder = directory; ; folder = dirname(folder)) {
    const path = join(folder, CONFIG_FILE)
    if (existsSync(path)) return path
    if (dirname(folder) === folder) return undefined
  }
}

function load(path: string, found: boolean): unknown {
  let content: string
  try {
    const fd = openSync(path, 'r')
    try {
      const { uid, mode } = fstatSync(fd)
      const isOurs = uid === 0 || uid === process.geteuid?.()
      if (found && (!isOurs || (mode & OTHERS_WRITE) !== 0)) {
        throw new UsageError(
          `${path} ${isOurs ? 'is writable for all' : `belongs to somebody else (uid ${uid})`}, and could take down every wall. ` +
            `Name it by --config if you mean it, or pass --no-config`,
        )
      }
      content = readFileSync(fd, 'utf8')
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`cannot read the configuration file: ${(error as Error).message}`)
  }
  try {
    return JSON.parse(content)
  } catch (error) {
    throw new UsageError(`${path}: ${(error as Error).message}`)
  }
}

type Json = Record<string, unknown>

class ConfigFile {
  readonly #path: string
  readonly #content: Json

  constructor(path: string, content: unknown) {
    this.#path = path
    this.#content = this.#object('', content)
    this.#onlyThese('', this.#content, ['$schema', 'options', 'profiles'])
  }

  given(profile: string | undefined): Given[] {
    const { options = {}, profiles: given = {} } = this.#content
    const profiles = this.#object('profiles', given)
    // Also those that are not asked for: a mistake is told when it is made, not when it is needed.
    const read = new Map(
      Object.entries(profiles).map(([name, body]): [string, { from: string | undefined; given: Given[] }] => {
        const { extends: from, ...own } = this.#object(`profiles.${name}`, body)
        if (from !== undefined && (typeof from !== 'string' || !Object.hasOwn(profiles, from))) {
          this.#fail(`profiles.${name}.extends`, `must be the name of a profile (${Object.keys(profiles).join(', ')})`)
        }
        return [name, { from, given: this.#options(`profiles.${name}`, own) }]
      }),
    )
    const common = this.#options('options', this.#object('options', options))
    return profile === undefined ? common : [...common, ...this.#chain(profile, read)]
  }

  /** A profile, after those that it extends. */
  #chain(profile: string, profiles: ReadonlyMap<string, { from: string | undefined; given: Given[] }>): Given[] {
    const names: string[] = []
    let sum: Given[] = []
    for (let name: string | undefined = profile; name !== undefined; name = profiles.get(name)?.from) {
      const found = profiles.get(name)
      if (found === undefined) throw new UsageError(this.#noProfile(name, [...profiles.keys()]))
      if (names.includes(name))
        this.#fail(`profiles.${name}.extends`, `goes round in a circle: ${[...names, name].join(' → ')}`)
      names.push(name)
      sum = [...found.given, ...sum]
    }
    return sum
  }

  #noProfile(name: string, known: string[]): string {
    const close = nearest(name, known)
    const cure =
      close === undefined ? `It has ${known.length === 0 ? 'none' : known.join(', ')}` : `Did you mean ${close}?`
    return `--profile: ${this.#path} has no profile ${quote(name)}. ${cure}`
  }

  #options(at: string, options: Json): Given[] {
    return Object.entries(options).flatMap(([name, value]) => {
      const field = `${at}.${name}`
      const option = Object.hasOwn(configurable, name) ? configurable[name] : undefined
      if (option === undefined) {
        const close = nearest(name, Object.keys(configurable))
        return this.#fail(
          field,
          close === undefined ? 'there is no such option' : `there is no such option. Did you mean ${close}?`,
        )
      }
      return this.#values(field, option, value).map(([place, read]): Given => {
        return { name, value: read, where: `${this.#path}: ${place}`, base: dirname(this.#path) }
      })
    })
  }

  /** Each value with the place that it stands at. */
  #values(field: string, option: Option, value: unknown): [place: string, value: string | boolean][] {
    if (option.value === undefined) {
      return typeof value === 'boolean' ? [[field, value]] : this.#fail(field, 'must be true or false')
    }
    if (!option.repeatable) return [[field, this.#text(field, option, value)]]
    if (!Array.isArray(value)) return this.#fail(field, 'must be an array')
    return value.map((item, index) => {
      const place = `${field}[${index}]`
      return [place, this.#text(place, option, item)]
    })
  }

  /** As the command line would have it. */
  #text(field: string, { value: type }: Option, value: unknown): string {
    const { type: allowed = 'string' } = type?.schema ?? {}
    const types = new Set([allowed].flat())
    if (typeof value === 'string' && types.has('string')) return value
    if (typeof value === 'number' && (types.has('number') || types.has('integer'))) return String(value)
    return this.#fail(field, `must be ${type?.expected}, not ${quote(JSON.stringify(value))}`)
  }

  #object(field: string, value: unknown): Json {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.#fail(field, 'must be an object')
    return value as Json
  }

  #onlyThese(field: string, value: Json, known: string[]): void {
    for (const name of Object.keys(value)) {
      if (known.includes(name)) continue
      const close = nearest(name, known)
      this.#fail(
        field + name,
        `there is no such field. ${close === undefined ? `Known are ${known.join(', ')}` : `Did you mean ${close}?`}`,
      )
    }
  }

  #fail(field: string, what: string): never {
    throw new UsageError(
      `${this.#path}: ${field === '' ? what : `${field}${what.startsWith('there') ? ':' : ''} ${what}`}`,
    )
  }
}
