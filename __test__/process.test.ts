// The embedding process: when it stays alive, when it ends, and what becomes of its containers then.
import test, { type ExecutionContext } from 'ava'
import { masterOptions } from './support/mode.js'
import { isAlive } from './support/counters.js'
import { runNode, startNode, type NodeProcess } from './support/node.js'
import { until, within } from './support/waiting.js'

const options = JSON.stringify(masterOptions())

/** A module with a container, in which a program runs that goes on until it is killed. Its first line has both pids. */
const withProgram = `
import { Master } from './index.js'
import { compile } from './__test__/support/compile.js'
const master = await Master.create(${options})
await master.copyIn(await compile('behave'), 'behave')
const run = master.spawn('./behave', ['hold'])
run.result.catch(() => undefined)
console.log(JSON.stringify([master.pid, await run.started]))
`

/** A process that ends with the test, however that ends. */
function started(t: ExecutionContext, ...args: Parameters<typeof startNode>): NodeProcess {
  const child = startNode(...args)
  t.teardown(() => child.process.kill('SIGKILL'))
  return child
}

async function pids(child: NodeProcess): Promise<number[]> {
  const line = await within(child.line(), 'the pids')
  if (line === undefined) throw new Error(`no pids: ${(await child.ended).stderr}`)
  return JSON.parse(line) as number[]
}

async function gone(all: readonly number[]): Promise<void> {
  for (const pid of all) await until(() => !isAlive(pid), `the end of process ${pid}`)
}

test('a process that forgot destroy exits by itself, and its containers die', async (t) => {
  const { code, stdout, stderr } = await within(
    runNode(`
      import { Master } from './index.js'
      const masters = await Promise.all([1, 2, 3].map(() => Master.create(${options})))
      for (const master of masters) await master.run('true')
      console.log(JSON.stringify(masters.map(({ pid }) => pid)))
    `),
    'the process',
  )
  t.is(stderr, '')
  t.is(code, 0)
  const all = JSON.parse(stdout) as number[]
  t.is(all.length, 3)
  await gone(all)
})

test('what is pending keeps the process alive', async (t) => {
  const { code, stdout, stderr } = await within(
    runNode(`
      import { Master } from './index.js'
      const master = await Master.create(${options})
      const say = (what) => () => console.log(what)
      master.run('sleep', ['0.2']).then(say('run'))
      master.execve({ args: ['sleep', '0.2'] }).then(say('execve'))
      master.spawn('sleep', ['0.2']).then(say('spawn'))
      master.reset().then(say('reset'))
      master.copyIn(Buffer.alloc(1e6), 'x').then(say('copyIn'), say('copyIn'))
      master.ping().then(say('ping'))
    `),
    'the process',
  )
  t.is(stderr, '')
  t.is(code, 0)
  t.deepEqual(stdout.trim().split('\n').sort(), ['copyIn', 'execve', 'ping', 'reset', 'run', 'spawn'])
})

test('create and destroy are awaited, closed is not', async (t) => {
  const { code, stdout } = await within(
    runNode(`
      import { Master } from './index.js'
      const master = await Master.create(${options})
      Master.create(${options}).then((other) => other.destroy()).then(() => console.log('destroyed'))
      process.on('exit', () => console.log('exit'))
      await master.closed
      console.log('not reached')
    `),
    'the process',
  )
  // Node's own code for a top-level await that nothing can settle.
  t.is(code, 13)
  t.is(stdout, 'destroyed\nexit\n')
})

const ends: Record<string, { source: string; code: number | null; signal?: NodeJS.Signals }> = {
  'process.exit': { source: 'process.exit(7)', code: 7 },
  'an uncaught exception': { source: "setImmediate(() => { throw new Error('uncaught') })", code: 1 },
  SIGTERM: {
    source: "process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000)",
    code: null,
    signal: 'SIGTERM',
  },
  SIGKILL: { source: "process.kill(process.pid, 'SIGKILL')", code: null, signal: 'SIGKILL' },
  abort: { source: 'process.abort()', code: null, signal: 'SIGABRT' },
}

for (const [name, { source, code, signal = null }] of Object.entries(ends)) {
  test(`${name} ends the containers, in the middle of a run`, async (t) => {
    const child = started(t, `${withProgram}; ${source}`)
    const all = await pids(child)
    t.is(all.length, 2)
    const end = await within(child.ended, 'the process')
    t.is(end.code, code)
    t.is(end.signal, signal)
    await gone(all)
  })
}

test('a process that is killed from outside, with its event loop blocked', async (t) => {
  const child = started(t, `${withProgram}; for (;;) {}`)
  const all = await pids(child)
  t.true(all.every((pid) => isAlive(pid)))
  child.process.kill('SIGKILL')
  t.is((await within(child.ended, 'the process')).signal, 'SIGKILL')
  await gone(all)
})

test('a container that nobody has any more is killed when it is collected', async (t) => {
  const child = started(
    t,
    `
    import { Master } from './index.js'
    const make = async () => {
      const master = await Master.create(${options})
      await master.run('true')
      console.log(JSON.stringify([master.pid]))
    }
    await make()
    // Until standard input ends.
    const collecting = setInterval(() => globalThis.gc(), 10)
    process.stdin.resume().on('end', () => clearInterval(collecting))
  `,
    { nodeArguments: ['--expose-gc'] },
  )
  await gone(await pids(child))
  child.process.stdin.end()
  t.is((await within(child.ended, 'the process')).code, 0)
})

test('importing costs nothing: no thread, no process, no descriptor', async (t) => {
  const { stdout, stderr } = await runNode(`
    import { childrenOf, openFds, threads } from './__test__/support/counters.js'
    const before = [openFds().size, childrenOf(process.pid).length]
    await import('./index.js')
    console.log(JSON.stringify([before, [openFds().size, childrenOf(process.pid).length]]))
  `)
  t.is(stderr, '')
  const [before, after] = JSON.parse(stdout) as [number[], number[]]
  t.deepEqual(after, before)
})

test('without the native addon, importing works, probe tells, and create says what to do', async (t) => {
  const { stdout, stderr } = await runNode(`
    import Module from 'node:module'
    const load = Module._load
    Module._load = (request, ...rest) => {
      if (request.endsWith('.node')) throw new Error('no addon')
      return load(request, ...rest)
    }
    const { Master, probe } = await import('./index.js')
    const { supported, features } = await probe()
    console.log(JSON.stringify([supported, features.map(({ name, required }) => [name, required])]))
    await Master.create().catch(({ name, code, message }) => console.log([name, code, message].join('|')))
    await Master.create().catch(({ code }) => console.log(code))
  `)
  t.is(stderr, '')
  const lines = stdout.trim().split('\n')
  t.is(lines[0], '[false,[["platform",true]]]')
  t.regex(
    lines[1] ?? '',
    /^HotcellError\|ERR_HOTCELL_UNSUPPORTED_PLATFORM\|.* cannot be loaded from '.*\.node': no addon\. /,
  )
  t.is(lines[2], 'ERR_HOTCELL_UNSUPPORTED_PLATFORM')
})
