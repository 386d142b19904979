/**
 * Tests that need something of the host. Without it they are skipped, by a title that names it; with that name in
 * HOTCELL_EXPECT (`HOTCELL_EXPECT=userns,newuidmap,…`) they fail instead, so that a skip cannot hide a loss.
 *
 *     const python = requires('python3', onPath('python3'))
 *     python('runs a script', async (t) => { … })
 */
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import test, { type ImplementationFn } from 'ava'

const expected = new Set((process.env['HOTCELL_EXPECT'] ?? '').split(',').filter((name) => name !== ''))

export type Declare = (title: string, implementation: ImplementationFn<[]>) => void

/** `test` where `feature` is available; else a skip, or a failure where it was promised. */
export function requires(feature: string, available: boolean, declare: Declare = test): Declare {
  if (available) return declare
  return (title, implementation) => {
    if (expected.has(feature)) test(title, (t) => t.fail(`HOTCELL_EXPECT promises ${feature}, and it is not there`))
    else test.skip(`${title} [needs ${feature}]`, implementation)
  }
}

/** `test.serial` with the same rule. */
export function requiresSerial(feature: string, available: boolean): Declare {
  return requires(feature, available, test.serial)
}

/** Whether a program of this name can be executed by this process. */
export function onPath(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return folder !== ''
    } catch {
      return false
    }
  })
}

/** Whether an executable of this name is in the folders that every container has by default. */
export function inContainer(name: string): boolean {
  return ['/usr/bin', '/bin'].some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
