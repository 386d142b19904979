// Compiling inside of a container: sources go in with `files`, the binary comes out with `collect`.

import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { HotcellError, defaultPath, type Master } from 'hotcell'

export interface Executable {
  program: string
  language: string
  /** Name in the container's working directory. */
  file: string
  content: Uint8Array
  /** How the container starts it. */
  command: [string, ...string[]]
}

/** Which of the tools exist inside, and where: a host's own (in /opt, in a home) are not mounted, and do not count. */
export async function findTools(master: Master): Promise<Map<string, string>> {
  const folders = defaultPath.slice('PATH='.length).split(':')
  const found = new Map<string, string>()
  for (const tool of ['gcc', 'g++', 'python3']) {
    for (const folder of folders) {
      try {
        const result = await master.run(`${folder}/${tool}`, ['--version'])
        if (result.status !== 'ok') continue
        found.set(tool, `${folder}/${tool}`)
        break
      } catch (error) {
        // A program that is not there is a rejection with the code of execve(2), never a result.
        if (!(error instanceof HotcellError && error.code === 'ENOENT')) throw error
      }
    }
  }
  return found
}

/** A Python program is its own executable; the others are compiled. */
export async function compile(
  master: Master,
  tool: string,
  source: URL,
  program: string,
  language: string,
): Promise<Executable> {
  const name = basename(fileURLToPath(source))
  if (language === 'Python') {
    return { program, language, file: name, content: await readFile(source), command: [tool, name] }
  }
  const result = await master.run(tool, ['-O2', '-o', program, name], {
    files: { [name]: source },
    collect: [program],
    signal: AbortSignal.timeout(60_000),
  })
  if (result.status !== 'ok') throw new Error(`${tool} ${name}: ${result.status}\n${result.stderr}`)
  const content = result.files[program]
  if (content === undefined) throw new Error(`${tool} ${name} left no ${program}`)
  await master.reset()
  return { program, language, file: program, content, command: [`./${program}`] }
}
