// AbortSignal on every method that takes one.
import { getEventListeners } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import { AbortError, Master, type Usage } from '../index.js'
import { install } from './support/compile.js'
import { descendantsOf, isAlive, zombies } from './support/counters.js'
import { aborts } from './support/errors.js'
import { createMaster, masterOptions } from './support/mode.js'
import { until, within } from './support/waiting.js'

interface Method {
  call: (master: Master, signal: AbortSignal) => PromiseLike<unknown>
  /** Whether it runs a program that goes on until it is killed. */
  runs: boolean
}

const methods: Record<string, Method> = {
  ping: { call: (master, signal) => master.ping({ signal }), runs: false },
  copyIn: { call: (master, signal) => master.copyIn(Buffer.alloc(5_000_000), 'x', { signal }), runs: false },
  copyOut: { call: (master, signal) => master.copyOut('behave', { signal }), runs: false },
  reset: { call: (master, signal) => master.reset({ signal }), runs: false },
  execve: { call: (master, signal) => master.execve({ args: ['./behave', 'spin'] }, { signal }), runs: true },
  'execve with a syncFunc': {
    call: (master, signal) => master.execve({ args: ['./behave', 'spin'], syncFunc: () => undefined }, { signal }),
    runs: true,
  },
  spawn: { call: (master, signal) => master.spawn('./behave', ['spin'], { signal }), runs: true },
  run: { call: (master, signal) => master.run('./behave', ['spin'], { signal }), runs: true },
}

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length

async function prepared(t: ExecutionContext): Promise<Master> {
  const master = await createMaster(t)
  await install(master, 'behave')
  return master
}

for (const [name, { call, runs }] of Object.entries(methods)) {
  test(`${name}: a signal that is aborted already starts nothing`, async (t) => {
    const master = await prepared(t)
    const reason = Symbol('any value')
    const signal = AbortSignal.abort(reason)
    const error = await aborts(t, call(master, signal), reason)
    t.true(error instanceof AbortError)
    t.is(error.result, undefined)
    t.is(listeners(signal), 0)
    t.is((await master.run('ls', ['-A'])).stdout, 'behave\n')
  })

  test(`${name}: a signal that is aborted at once`, async (t) => {
    const master = await prepared(t)
    const controller = new AbortController()
    const reason = new Error('enough')
    const pending = call(master, controller.signal)
    const aborted = aborts(t, pending, reason)
    controller.abort(reason)
    await within(aborted, name)
    t.is(listeners(controller.signal), 0)
    t.deepEqual(descendantsOf(master.pid), [])
    await master.ping()
  })

  if (!runs) continue

  test(`${name}: a signal that is aborted while the program runs`, async (t) => {
    const master = await prepared(t)
    const controller = new AbortController()
    const aborted = aborts(t, call(master, controller.signal), 'enough')
    await until(() => descendantsOf(master.pid).length > 0, 'the program to run')
    const [pid] = descendantsOf(master.pid)
    controller.abort('enough')
    const { result } = (await within(aborted, name)) as { result?: Usage }
    // Every process of the run is dead and reaped when the promise rejects.
    t.false(isAlive(Number(pid)))
    t.deepEqual(descendantsOf(master.pid), [])
    t.true((result?.wallTimeMs ?? -1) > 0)
    t.true((result?.cpuTimeMs ?? -1) >= 0)
    t.is(result?.accounting, 'rusage')
    t.is(listeners(controller.signal), 0)
    t.is((await master.execve({ args: ['true'] })).status, 'ok')
  })

  test(`${name}: AbortSignal.timeout`, async (t) => {
    const master = await prepared(t)
    const error = (await t.throwsAsync(async () => await within(call(master, AbortSignal.timeout(50)), name), {
      name: 'AbortError',
    })) as AbortError
    t.is((error.cause as Error).name, 'TimeoutError')
    t.true((error.result?.wallTimeMs ?? 0) > 0)
  })
}

test('listeners are removed when nothing was aborted', async (t) => {
  const master = await prepared(t)
  const { signal } = new AbortController()
  await master.ping({ signal })
  await master.copyIn(Buffer.from('x'), 'x', { signal })
  await master.copyOut('x', { signal })
  await master.execve({ args: ['true'] }, { signal })
  await master.execve({ args: ['true'], syncFunc: () => undefined }, { signal })
  await master.spawn('true', [], { signal })
  await master.run('true', [], { signal, files: { x: Buffer.from('x') }, collect: ['x'] })
  await master.reset({ signal })
  for (const failing of [
    master.copyIn('/absent', 'x', { signal }),
    master.copyOut('absent', { signal }),
    master.execve({ args: ['absent'] }, { signal }),
    master.spawn('absent', [], { signal }),
    master.run('absent', [], { signal }),
  ]) {
    await t.throwsAsync(async () => await failing, { code: 'ENOENT' })
  }
  const other = await Master.create(masterOptions({ signal }))
  await other.destroy()
  t.is(listeners(signal), 0)
})

test('create: before, at once, and later', async (t) => {
  await aborts(t, Master.create(masterOptions({ signal: AbortSignal.abort('early') })), 'early')
  for (let turns = 0; turns < 12; turns++) {
    const controller = new AbortController()
    const creating = Master.create(masterOptions({ signal: controller.signal }))
    creating.catch(() => undefined)
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
    controller.abort('enough')
    const outcome = await within(
      creating.then(
        (master) => master,
        (error: unknown) => error,
      ),
      'create',
    )
    if (outcome instanceof Master) await outcome.destroy()
    else t.is((outcome as Error).name, 'AbortError')
    t.is(listeners(controller.signal), 0)
  }
  // Reaped by the process that started them, which nobody waits for.
  await until(() => zombies().length === 0, 'the containers to be reaped')
})

test('a signal after the creation is no business of the container', async (t) => {
  const controller = new AbortController()
  const master = await createMaster(t, { signal: controller.signal })
  controller.abort()
  await master.ping()
  t.pass()
})

test('one signal for many runs', async (t) => {
  const master = await prepared(t)
  const controller = new AbortController()
  const { signal } = controller
  const other = master.execve({ args: ['/bin/sh', '-c', 'read x < /dev/zero'] })
  const runs = Array.from({ length: 8 }, () =>
    aborts(t, master.execve({ args: ['./behave', 'spin'] }, { signal }), 'all'),
  )
  await until(() => descendantsOf(master.pid).length >= 8, 'the programs to run')
  controller.abort('all')
  await within(Promise.all(runs), 'all runs')
  t.is(listeners(signal), 0)
  t.is(descendantsOf(master.pid).length, 1)
  await master.reset()
  t.like(await other, { signal: 'SIGKILL' })
})

test('an aborted run takes what it left along', async (t) => {
  const master = await prepared(t)
  const controller = new AbortController()
  const script = './behave leave /w/lock; : > begun; exec ./behave spin'
  const aborted = aborts(t, master.run('/bin/sh', ['-c', script], { signal: controller.signal }), 'enough')
  await until(
    () =>
      master.copyOut('begun').then(
        () => true,
        () => false,
      ),
    'the program to leave something',
  )
  controller.abort('enough')
  await within(aborted, 'run')
  t.deepEqual(descendantsOf(master.pid), [])
  t.like(await master.execve({ args: ['./behave', 'locked', '/w/lock'] }), { exitCode: 0 })
})

test('200 cancels at random moments leave a container that works', async (t) => {
  const master = await prepared(t)
  // A generator of our own, so that a failure can be had again.
  let seed = 20_250_101
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return seed % below
  }
  const names = Object.keys(methods)
  const wait = async (): Promise<void> => {
    for (let turns = random(10); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
    if (random(3) === 0) await new Promise((resolve) => setTimeout(resolve, random(8)))
  }
  for (let i = 0; i < 200; i++) {
    const controller = new AbortController()
    const name = names[random(names.length)] as string
    // Reset takes the program away, for itself and for what overlaps it.
    const { call, runs } = (name === 'reset' && i % 10 !== 0 ? methods['execve'] : methods[name]) as Method
    const pending = (async () => await call(master, controller.signal))()
    const outcome = pending.then(
      () => 'done',
      (error: Error & { code?: string }) => error.code ?? error.name,
    )
    await wait()
    controller.abort()
    const how = await within(outcome, `${name}, number ${i}`)
    // What ends by itself may have done so before; the others cannot.
    const expected = runs ? ['ABORT_ERR'] : ['done', 'ABORT_ERR']
    t.true(expected.includes(how), `${name}, number ${i}: ${how}`)
    t.is(listeners(controller.signal), 0)
    if (name === 'reset' && i % 10 === 0) await install(master, 'behave')
  }
  t.deepEqual(descendantsOf(master.pid), [])
  t.like(await master.run('./behave', ['exit', '3']), { exitCode: 3 })
  t.is((await master.run('ls', ['-A'])).stdout.replace('x\n', ''), 'behave\n')
})

test('cancels that overlap', async (t) => {
  const master = await prepared(t)
  const outcomes = await within(
    Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const controller = new AbortController()
        const pending = master.execve(
          { args: ['./behave', i % 4 === 0 ? 'leave' : 'spin', `/w/lock${i}`] },
          { signal: controller.signal },
        )
        const outcome = pending.then(
          ({ status }) => status,
          (error: Error) => error.name,
        )
        for (let turn = 0; turn < i % 7; turn++) await new Promise((resolve) => setImmediate(resolve))
        controller.abort()
        return await outcome
      }),
    ),
    'all of them',
  )
  t.true(
    outcomes.every((outcome) => outcome === 'AbortError' || outcome === 'ok'),
    outcomes.join(),
  )
  t.deepEqual(descendantsOf(master.pid), [])
  t.is((await master.execve({ args: ['true'] })).status, 'ok')
})
