// A problem, as a folder: problem.json, and tests/NAME.in with tests/NAME.out.

import { readdir, readFile } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import { z } from 'zod'

const description = z.strictObject({
  title: z.string().min(1),
  /** CPU time of one test, in milliseconds. */
  timeLimitMs: z.int().positive(),
  /** Memory of one test, in bytes. */
  memoryLimitBytes: z.int().min(65_536),
})

export interface TestCase {
  readonly name: string
  readonly input: Buffer
  readonly expected: string
}

export interface Problem extends z.infer<typeof description> {
  readonly tests: readonly TestCase[]
}

/** Reads a problem; its tests in the order of their names. */
export async function readProblem(folder: string): Promise<Problem> {
  const described = description.parse(JSON.parse(await readFile(join(folder, 'problem.json'), 'utf8')))
  const inputs = (await readdir(join(folder, 'tests'))).filter((name) => extname(name) === '.in').sort()
  if (inputs.length === 0) throw new Error(`${folder}: there is no test (tests/NAME.in, tests/NAME.out)`)
  const tests = inputs.map(async (file): Promise<TestCase> => {
    const name = basename(file, '.in')
    const [input, expected] = await Promise.all([
      readFile(join(folder, 'tests', file)),
      readFile(join(folder, 'tests', `${name}.out`), 'utf8'),
    ])
    return { name, input, expected }
  })
  return { ...described, tests: await Promise.all(tests) }
}
