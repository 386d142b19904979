/**
 * C programs of the tests: `__test__/programs/<name>.c`, made into static executables (they need nothing of the container)
 * by the host's `cc`. Each is compiled once for all test processes, into a folder that everybody may read.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Master } from '../../index.js'

const sources = fileURLToPath(new URL('../programs/', import.meta.url))
const FLAGS = ['-O1', '-std=gnu17', '-Wall', '-Wextra', '-Werror', '-static', '-pthread']
const execFileAsync = promisify(execFile)
const compiling = new Map<string, Promise<string>>()

/** The host path of the executable made from `__test__/programs/<name>.c`. */
export function compile(name: string): Promise<string> {
  return compileSource(name, readFileSync(join(sources, `${name}.c`), 'utf8'))
}

/** The host path of an executable made from C source. `name` is for humans; the content decides. */
export function compileSource(name: string, source: string): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(FLAGS)).update(source).digest('hex').slice(0, 16)
  const key = `${name}-${hash}`
  let path = compiling.get(key)
  if (path === undefined) compiling.set(key, (path = build(key, source)))
  return path
}

async function build(key: string, source: string): Promise<string> {
  const executable = join(folder(), key)
  if (existsSync(executable)) return executable
  // Other test processes may be at it too: each makes a file of its own, and rename(2) lets the last one stand.
  const mine = `${executable}.${process.pid}`
  const code = `${mine}.c`
  writeFileSync(code, source)
  try {
    await execFileAsync('cc', [...FLAGS, code, '-o', mine])
    chmodSync(mine, 0o755)
    renameSync(mine, executable)
  } finally {
    rmSync(code, { force: true })
    rmSync(mine, { force: true })
  }
  return executable
}

function folder(): string {
  const path = join(tmpdir(), `hotcell-test-programs-${process.geteuid?.()}`)
  mkdirSync(path, { recursive: true, mode: 0o755 })
  const { uid } = lstatSync(path)
  if (uid !== process.geteuid?.()) throw new Error(`${path} belongs to somebody else (uid ${uid})`)
  chmodSync(path, 0o755)
  return path
}

/** Compiles `__test__/programs/<name>.c` and copies the executable to `path` in the container. */
export async function install(master: Master, name: string, path = `/w/${name}`): Promise<string> {
  await master.copyIn(await compile(name), path, { mode: 0o755 })
  return path
}
