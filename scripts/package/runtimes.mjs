// The runtimes that the packed package is tried with, each out of its own package on the npm registry, as an executable: nothing
// is installed, no install script runs.

import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { command } from '../steps.mjs'

/** The lines of Node that `engines` of package.json allows for, oldest first. */
const NODE_LINES = ['20', '22', '24', '26']

const { arch } = process

/**
 * `without` names the steps of api.mjs that end in `ERR_HOTCELL_UNSUPPORTED` there, as docs/runtimes.md tells users. A step that
 * works in spite of being named is a failure as well: then the documentation is out of date.
 */
export const runtimes = [
  ...NODE_LINES.map((line) => ({
    name: `Node ${line}`,
    spec: `node-linux-${arch}@${line}`,
    file: 'bin/node',
    args: [],
    without: [],
  })),
  {
    name: 'Bun',
    spec: `@oven/bun-linux-${arch === 'arm64' ? 'aarch64' : arch}@1`,
    file: 'bin/bun',
    args: ['run'],
    without: ['run with a stream as input', 'spawn with streams', 'trace', 'trace events as they come', 'pipeline'],
  },
  {
    name: 'Deno',
    spec: `@deno/linux-${arch}-glibc@2`,
    file: 'deno',
    // The permissions that docs/runtimes.md names, and two that the steps themselves want: to open /dev/null, and to kill.
    args: [
      'run',
      '--no-remote',
      '--no-prompt',
      '--allow-ffi',
      '--allow-read',
      '--allow-env',
      '--allow-write',
      '--allow-run',
    ],
    without: [
      'run with files',
      'run with a stream as input',
      'spawn with streams',
      'trace',
      'trace events as they come',
      'copyIn and copyOut',
      'open, and a file as stream',
      'pipeline',
    ],
  },
]

/** Whether this process is of that line already. */
const isThis = ({ name }) => name === `Node ${process.versions.node.split('.')[0]}`

/** The path of the executable; undefined where the package cannot be had. */
export async function fetchRuntime(runtime, folder) {
  if (isThis(runtime)) return process.execPath
  const place = join(folder, runtime.name.toLowerCase().replace(' ', '-'))
  mkdirSync(place)
  try {
    await command('npm', ['pack', runtime.spec, '--silent', '--ignore-scripts'], { cwd: place })
    const archive = readdirSync(place).find((name) => name.endsWith('.tgz'))
    await command('tar', ['-xzf', archive, `package/${runtime.file}`], { cwd: place })
  } catch {
    return undefined
  }
  const file = join(place, 'package', runtime.file)
  return existsSync(file) ? file : undefined
}
