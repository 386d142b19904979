/** Other Node processes: programs that embed hotcell, as their users write them. */
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

/** The folder of package.json. */
export const root = fileURLToPath(new URL('../../', import.meta.url))

export interface NodeProcess {
  readonly process: ChildProcessByStdio<Writable, Readable, Readable>
  /** The next line that it writes to standard output; undefined at the end. */
  line(): Promise<string | undefined>
  /** When it is over, and everything it wrote was read. `stdout` has what `line()` has given, too. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }>
}

/**
 * Starts an ES module, given as source (JavaScript). It imports hotcell by `import { Master } from './index.js'`, and what is
 * in the folder of these files by `'./__test__/support/…'`. `through` is a command that executes its arguments.
 */
export function startNode(
  source: string,
  options: { args?: string[]; env?: NodeJS.ProcessEnv; nodeArguments?: string[]; through?: string[] } = {},
): NodeProcess {
  const { args = [], env = {}, nodeArguments = [], through = [] } = options
  const [file = process.execPath, ...before] = [...through, process.execPath]
  const child = spawn(
    file,
    [
      ...before,
      ...nodeArguments,
      '--import=@oxc-node/core/register',
      '--input-type=module',
      '--eval',
      source,
      '--',
      ...args,
    ],
    { cwd: root, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] },
  )
  let stdout = ''
  let stderr = ''
  const lines: string[] = []
  const waiting: ((line: string | undefined) => void)[] = []
  let over = false
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  // A program that ended does not read any more.
  child.stdin.on('error', () => undefined)
  const reader = createInterface({ input: child.stdout })
  reader.on('line', (line) => {
    stdout += `${line}\n`
    const next = waiting.shift()
    if (next === undefined) lines.push(line)
    else next(line)
  })
  reader.on('close', () => {
    over = true
    for (const next of waiting.splice(0)) next(undefined)
  })
  const ended = new Promise<Awaited<NodeProcess['ended']>>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return {
    process: child,
    ended,
    line: () => {
      const line = lines.shift()
      if (line !== undefined || over) return Promise.resolve(line)
      return new Promise((resolve) => waiting.push(resolve))
    },
  }
}

/** The same, to its end. */
export function runNode(source: string, options?: Parameters<typeof startNode>[1]): NodeProcess['ended'] {
  const { process: child, ended } = startNode(source, options)
  child.stdin.end()
  return ended
}
