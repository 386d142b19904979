// What a seccomp filter costs a run: nothing if it is the container's, for it is inherited.

import { Master } from 'hotcell'
import type { Group } from './context.js'
import { interleave, timed, type Case } from './sample.js'

export const seccomp: Group = async ({ runs, progress }) => {
  await using filtered = await Master.create()
  await using open = await Master.create({ seccomp: 'off' })
  const execve = (master: Master, policy?: 'default' | 'off') =>
    timed(async () => {
      const result = await master.execve({ args: ['/bin/true'], seccomp: policy })
      if (result.status !== 'ok') throw new Error(`/bin/true: ${result.status}`)
    })
  const cases: Case[] = [
    { name: "execve of /bin/true, seccomp: 'default'", sample: () => execve(filtered) },
    { name: "execve of /bin/true, seccomp: 'off'", sample: () => execve(open) },
    { name: "execve of /bin/true, 'off' in a container with 'default'", sample: () => execve(filtered, 'off') },
    { name: "execve of /bin/true, 'default' in a container with 'off'", sample: () => execve(open, 'default') },
  ]
  return await interleave(cases, runs, progress)
}
