// The other side of the comparison: the same binary, started on the host by `child_process.spawn`, without any sandbox.

import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Executable } from './compile.js'

export class Host implements AsyncDisposable {
  static async create(): Promise<Host> {
    return new Host(await mkdtemp(join(tmpdir(), 'hotcell-demo-')))
  }

  private readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  /** Answers the command that starts the copy. */
  async copyIn({ file, content, command }: Executable): Promise<[string, ...string[]]> {
    const path = join(this.folder, file)
    await writeFile(path, content, { mode: 0o755 })
    return command[0].startsWith('./') ? [path] : [command[0], path]
  }

  run([file, ...args]: [string, ...string[]], input: Uint8Array): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = spawn(file, args, { cwd: this.folder, env: {} })
      let output = ''
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk
      })
      child.stderr.resume()
      // A program that ends without reading its input makes writing fail: its exit code says enough.
      child.stdin.on('error', () => {})
      child.stdin.end(input)
      child.on('error', reject)
      child.on('close', () => resolve(output))
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
