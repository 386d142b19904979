// A program in TypeScript as users compile it: all declarations are checked (no skipLibCheck), nothing of the repository helps.

import { HotcellError, Master, type MasterOptions, Pool, type RunResult } from 'hotcell'

const options: MasterOptions = { limits: { memoryBytes: 1 << 28 } }

export async function main(): Promise<string> {
  const master = await Master.create(options)
  try {
    const result: RunResult<string> = await master.run('true')
    return result.status === 'nonzero-exit' ? String(result.exitCode) : result.stdout
  } catch (error) {
    return error instanceof HotcellError ? error.code : ''
  } finally {
    await master.destroy()
  }
}

export const pool: Promise<Pool> = Pool.create()
// @ts-expect-error: were everything `any`, this would be no error.
export const wrong: number = Master.create()
