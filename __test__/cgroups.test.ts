// Cgroups as the host sees them: where they are made, what programs see of them, and that none stays behind.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import test from 'ava'
import { Master } from '../index.js'
import { createLimited, onEachBackend, type Backend } from './support/backend.js'
import { createMaster, hostHas, masterOptions } from './support/mode.js'
import { startNode } from './support/node.js'
import { requires } from './support/requires.js'
import { until } from './support/waiting.js'

const inCgroup = (backend: Backend): boolean => backend.name !== 'none'
const limits = { memoryBytes: 64 * 1024 * 1024, processes: 8, cpuTimeMs: 60_000 }
let names = 0

/** The same kind of cgroups, below a parent that nobody else has. */
function apart({ cgroup, ...backend }: Backend): Backend & { cgroup: { name: string } } {
  return { ...backend, cgroup: { ...cgroup, name: `hotcell-test-${process.pid}-${++names}` } }
}

/** The directories of that name, and all below them, in every hierarchy. */
function directories(name: string): string[] {
  // It complains of what goes away while it looks.
  const found = spawnSync('find', ['/sys/fs/cgroup', '-type', 'd', '-path', `*/${name}*`], { encoding: 'utf8' })
  return found.stdout.split('\n').filter((line) => line !== '')
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

onEachBackend(
  'they are below a parent of the chosen name, and gone after the last container',
  async (t, backend) => {
    const own = apart(backend)
    const masters = await Promise.all(Array.from({ length: 4 }, () => createLimited(t, own)))
    for (const master of masters) t.is((await master.execve({ args: ['true'], limits })).status, 'ok')
    t.true(directories(own.cgroup.name).some((path) => path.includes('/run')))
    await Promise.all(masters.map((master) => master.destroy()))
    await until(() => directories(own.cgroup.name).length === 0, 'the last cgroup to be removed')
  },
  inCgroup,
)

onEachBackend('a program sees itself at the root of each hierarchy, and none is mounted', async (t, backend) => {
  const master = await createLimited(t, backend)
  for (const options of [{}, { limits }]) {
    const { stdout } = await master.run('cat', ['/proc/self/cgroup'], options)
    for (const line of stdout.trim().split('\n')) t.true(line.endsWith(':/'), line)
    const mounts = await master.run('cat', ['/proc/self/mountinfo'], options)
    t.notRegex(mounts.stdout, / - cgroup/)
  }
})

/** Makes a container, runs something in it that waits, and tells the pid of its init. */
const HOST = `
  const { Master } = await import('./index.js')
  const options = JSON.parse(process.argv.at(-1))
  const master = await Master.create(options.master)
  const execution = master.spawn('sleep', ['1000'], { limits: options.limits })
  await execution.started
  console.log(master.pid)
  await execution
`

onEachBackend(
  'they are removed when the host process is killed',
  async (t, backend) => {
    const { cgroup } = apart(backend)
    const master = masterOptions({ cgroup })
    const host = startNode(HOST, { args: [JSON.stringify({ master, limits })] })
    t.truthy(await host.line())
    t.not(directories(cgroup.name).length, 0)
    host.process.kill('SIGKILL')
    await until(() => directories(cgroup.name).length === 0, 'the cgroups of a killed process to be removed')
  },
  inCgroup,
)

onEachBackend(
  'they are removed by the next process, if nothing is left that could',
  async (t, backend) => {
    const { cgroup } = apart(backend)
    const master = masterOptions({ cgroup })
    const host = startNode(HOST, { args: [JSON.stringify({ master, limits })] })
    const init = Number(await host.line())
    const launcher = parentOf(init)
    process.kill(launcher, 'SIGSTOP')
    host.process.kill('SIGKILL')
    await host.ended
    process.kill(launcher, 'SIGKILL')
    const stale = directories(cgroup.name)
    t.not(stale.length, 0)
    const next = startNode(HOST, { args: [JSON.stringify({ master, limits })] })
    t.truthy(await next.line())
    const left = directories(cgroup.name)
    t.deepEqual(
      stale.filter((path) => path.split('/').at(-1) !== cgroup.name && left.includes(path)),
      [],
    )
    next.process.kill('SIGKILL')
    await until(() => directories(cgroup.name).length === 0, 'the last cgroup to be removed')
  },
  inCgroup,
)

test('a base that is not there is an error that names it', async (t) => {
  const options = masterOptions({ cgroup: { base: '/hotcell-test/absent' } })
  const error = await t.throwsAsync(Master.create(options), { code: 'ERR_HOTCELL_CGROUP' })
  t.regex(error!.message, /absent|cgroup/)
})

const usable = (await hostHas('cgroup-v1')) || (await hostHas('cgroup-v2'))

requires('no cgroups', !usable)('where none can be had, those who demand them are told why', async (t) => {
  const error = await t.throwsAsync(Master.create(masterOptions({ cgroup: {} })), { code: 'ERR_HOTCELL_CGROUP' })
  t.regex(error!.message, /cgroup/)
  const master = await createMaster(t)
  t.is((await master.execve({ args: ['true'], limits })).accounting, 'rusage')
})

requires('cgroups', usable)('without being asked for they serve the runs that need them', async (t) => {
  const master = await createMaster(t)
  t.is((await master.execve({ args: ['true'] })).accounting, 'rusage')
  t.is((await master.execve({ args: ['true'], limits: { wallTimeMs: 60_000 } })).accounting, 'rusage')
  t.is((await master.execve({ args: ['true'], limits })).accounting, 'cgroup')
})
