// A run: the floor, `child_process.spawn` and `master.execve`, of a static binary and of /bin/true.

import { Master } from 'hotcell'
import { built, spawnOnHost, type Group } from './context.js'
import { Floor } from './floor.js'
import { interleave, timed, type Case } from './sample.js'

export const exec: Group = async ({ runs, progress }) => {
  await using floor = new Floor()
  await using master = await Master.create()
  await master.copyIn(built('static'), '/w/static', { mode: 0o755 })

  const cases = [
    { program: '/bin/true', outside: '/bin/true' },
    { program: '/w/static', outside: built('static') },
  ].flatMap(({ program, outside }): Case[] => {
    const name = program === '/bin/true' ? '/bin/true' : 'static'
    return [
      { name: `floor: vfork+execve+wait4 of ${name}`, sample: () => floor.sample(`exec ${outside}`) },
      { name: `child_process.spawn of ${name}`, sample: () => timed(() => spawnOnHost(outside)) },
      {
        name: `master.execve of ${name}`,
        sample: () =>
          timed(async () => {
            const result = await master.execve({ args: [program] })
            if (result.status !== 'ok') throw new Error(`${program}: ${result.status}`)
          }),
      },
    ]
  })
  return await interleave(cases, runs, progress)
}
