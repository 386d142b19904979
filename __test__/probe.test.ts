// probe: what this host allows.
import { release } from 'node:os'
import test from 'ava'
import { Master, probe } from '../index.js'
import { openFds, zombies } from './support/counters.js'
import { masterOptions, mode } from './support/mode.js'
import { runNode } from './support/node.js'
import { onPath, requires } from './support/requires.js'
import { until } from './support/waiting.js'

test('says that containers can be made here, and they can', async (t) => {
  const { supported, kernel, architecture } = await probe()
  t.true(supported)
  t.is(kernel, release())
  t.is(typeof architecture, 'string')
  await (await Master.create(masterOptions())).destroy()
})

test('lists features, each with a name, whether it is there, and what else is known', async (t) => {
  const { features } = await probe()
  const names = features.map(({ name }) => name)
  t.is(new Set(names).size, names.length)
  for (const name of [
    'container',
    'user-namespace',
    'user-namespace-ranges',
    'root',
    'network-namespace',
    'proc-mount',
    'terminal',
    'overlay',
    'clone3',
    'openat2',
    'close_range',
    'mount-api',
    'pidfd',
    'memfd-exec',
    'landlock',
    'cgroup-v1',
    'cgroup-v2',
    'cgroup-memory',
    'cgroup-pids',
    'cgroup-cpu',
    'cgroup-cpuset',
  ]) {
    t.true(names.includes(name), name)
  }
  for (const feature of features) {
    t.is(typeof feature.available, 'boolean', feature.name)
    t.is(typeof feature.required, 'boolean', feature.name)
    t.not(feature.detail, '', feature.name)
    if (feature.required) t.true(feature.available, feature.name)
  }
})

test('tells who we are', async (t) => {
  const { features } = await probe()
  const available = (name: string): boolean | undefined => features.find((feature) => feature.name === name)?.available
  t.is(available('root'), mode === 'root' || mode === 'degraded')
  if (mode === 'rootless') t.false(available('user-namespace-ranges'))
  if (mode === 'rootless-ranges') t.true(available('user-namespace-ranges'))
})

const constrained = requires('ranges and setpriv', mode === 'rootless-ranges' && onPath('setpriv'))
constrained('ranges that newuidmap may not give are none, whatever files say', async (t) => {
  const source = `
    import { probe } from "./index.js"
    const { features } = await probe()
    const { available, code } = features.find(({ name }) => name === 'user-namespace-ranges')
    console.log(available, code)`
  const { stdout, stderr } = await runNode(source, { through: ['setpriv', '--no-new-privs', '--'] })
  t.is(stdout, 'false EPERM\n', stderr)
})

test.serial('leaves nothing behind, however often and many at once', async (t) => {
  await probe()
  const before = openFds().size
  await Promise.all(Array.from({ length: 4 }, () => probe()))
  t.is(openFds().size, before)
  // Its children are reaped by the process that started them, which nobody waits for.
  await until(() => zombies().length === 0, 'the last child to be reaped')
})
