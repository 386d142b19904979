// Long use: what a thousand runs and a hundred containers leave in the host is nothing.
import { Readable } from 'node:stream'
import { setTimeout as timeout } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { Master, type HotcellError } from '../index.js'
import { install } from './support/compile.js'
import { allFds, descendantsOf, mounts, threads, zombies } from './support/counters.js'
import { createMaster, masterOptions } from './support/mode.js'
import { until, within } from './support/waiting.js'

interface Census {
  fds: number
  threads: number
  zombies: number
  mounts: number
  children: number
}

function census(): Census {
  return {
    fds: allFds().size,
    threads: threads().length,
    zombies: zombies().length,
    mounts: mounts().length,
    children: descendantsOf(process.pid).length,
  }
}

/** That nothing is left; what closes a moment after the promise (a pipe's end, a thread) is waited for. */
async function nothingLeft(t: ExecutionContext, before: Census): Promise<void> {
  const same = (): boolean => JSON.stringify(census()) === JSON.stringify(before)
  await until(same, 'everything is as before', 5_000).catch(() => undefined)
  t.deepEqual(census(), before)
}

/** libuv's threads, the reactor and the launcher come with the first of everything; then, what there is. */
async function warmUp(): Promise<Census> {
  {
    await using master = await Master.create(masterOptions())
    const files = { x: Buffer.from('x') }
    await Promise.all(Array.from({ length: 8 }, () => master.run('true', [], { files, collect: ['x'] })))
  }
  await until(() => zombies().length === 0 && descendantsOf(process.pid).length === 1, 'only the launcher is left')
  // Their parent is kept for a moment, for a container that might follow.
  const inCgroups = (path: string): boolean => path.startsWith('/sys/fs/cgroup')
  await until(() => ![...allFds().values()].some(inCgroups), 'the last cgroup is closed')
  return census()
}

test.serial('a thousand runs leave nothing in the host, nor in init', async (t) => {
  const before = await warmUp()
  const master = await Master.create(masterOptions())
  await install(master, 'behave')
  const running = census()
  const limits = { outputBytes: 1000 }
  for (let i = 0; i < 125; i++) {
    const results = await Promise.all([
      master.execve({ args: ['true'] }),
      master.execve({ args: ['./behave', 'exit', '3'] }),
      master.execve({ args: ['true'], syncFunc: () => undefined }),
      master.run('echo', ['hello']),
      master.run('cat', [], { input: Buffer.alloc(100_000), limits }),
      master.spawn('echo', ['hello']).result,
      master.spawn('cat', [], { stdin: 'ignore' }).result,
      master.execve({ args: ['/nowhere'] }).catch((error: HotcellError) => ({ status: error.code })),
    ])
    t.deepEqual(
      results.map(({ status }) => status),
      ['ok', 'nonzero-exit', 'ok', 'ok', 'output-limit', 'ok', 'ok', 'ENOENT'],
    )
  }
  await nothingLeft(t, running)
  t.deepEqual(descendantsOf(master.pid), [])
  await master.destroy()
  await nothingLeft(t, before)
})

test.serial('a hundred containers leave nothing in the host', async (t) => {
  const before = await warmUp()
  for (let round = 0; round < 4; round++) {
    const masters = await Promise.all(Array.from({ length: 25 }, () => Master.create(masterOptions())))
    const results = await Promise.all(masters.map((master) => master.run('echo', [String(master.pid)])))
    t.deepEqual(
      results.map(({ stdout }) => stdout),
      masters.map(({ pid }) => `${pid}\n`),
    )
    t.is(new Set(masters.map(({ pid }) => pid)).size, 25)
    await Promise.all(masters.map((master) => master.destroy()))
  }
  await nothingLeft(t, before)
})

test.serial('a hundred containers at once', async (t) => {
  const before = await warmUp()
  const masters = await Promise.all(Array.from({ length: 110 }, () => Master.create(masterOptions())))
  await Promise.all(masters.map((master) => master.ping()))
  t.true(
    (await Promise.all(masters.map((master) => master.execve({ args: ['true'] })))).every(
      ({ status }) => status === 'ok',
    ),
  )
  await Promise.all(masters.map((master) => master.destroy()))
  await nothingLeft(t, before)
})

test.serial('containers that could not be made leave nothing', async (t) => {
  const before = await warmUp()
  for (let i = 0; i < 20; i++) {
    await t.throwsAsync(Master.create(masterOptions({ mounts: [{ source: '/no/such/folder', target: '/x' }] })), {
      code: 'ENOENT',
    })
    const controller = new AbortController()
    const creating = Master.create(masterOptions({ signal: controller.signal }))
    await timeout(Math.random() * 3)
    controller.abort()
    await creating.then(
      (master) => master.destroy(),
      (error: Error) => t.is(error.name, 'AbortError'),
    )
  }
  await nothingLeft(t, before)
})

test.serial('two hundred cancels at any moment', async (t) => {
  const before = await warmUp()
  const master = await Master.create(masterOptions())
  await install(master, 'behave')
  let aborted = 0
  let slowest = 0
  const verbs: ((signal: AbortSignal) => Promise<unknown>)[] = [
    (signal) => master.execve({ args: ['./behave', 'hold'] }, { signal }),
    (signal) => master.execve({ args: ['./behave', 'spin'] }, { signal }),
    (signal) => master.execve({ args: ['./behave', 'hold'], syncFunc: () => timeout(2) }, { signal }),
    (signal) =>
      master.run('sh', ['-c', 'setsid sleep 10 & cat'], { signal, input: new Readable({ read: () => undefined }) }),
    (signal) => master.spawn('./behave', ['linger', '3'], { signal }).result,
    (signal) => master.run('./behave', ['write', '100000000'], { signal, limits: { outputBytes: 1 << 30 } }),
    (signal) => master.copyIn(Buffer.alloc(1 << 20), 'copied', { signal }),
    (signal) => master.copyOut('behave', { signal }),
    (signal) => master.ping({ signal }),
    (signal) => Master.create(masterOptions({ signal })).then((made) => made.destroy()),
  ]
  for (let i = 0; i < 50; i++) {
    await Promise.all(
      Array.from({ length: 4 }, async (_, lane) => {
        const controller = new AbortController()
        const verb = verbs[(i * 4 + lane) % verbs.length] as (typeof verbs)[number]
        const running = verb(controller.signal)
        await (Math.random() < 0.2 ? undefined : timeout(Math.random() * 6))
        const began = performance.now()
        controller.abort(new Error('no longer wanted'))
        await within(
          running.catch((error: Error) => {
            t.is(error.name, 'AbortError', error.message)
            aborted++
          }),
          'a cancelled call',
          10_000,
        )
        slowest = Math.max(slowest, performance.now() - began)
      }),
    )
  }
  t.log(`${aborted} of 200 were aborted in time; the slowest took ${slowest.toFixed(0)} ms`)
  t.true(aborted > 100)
  t.true(slowest < 3_000, `${slowest} ms`)
  await master.ping()
  t.deepEqual(descendantsOf(master.pid), [])
  t.is((await master.run('ls', ['-A'])).stdout.replace('copied\n', ''), 'behave\n')
  await master.destroy()
  await nothingLeft(t, before)
})

test.serial('destroy during everything', async (t) => {
  const before = await warmUp()
  const verbs: ((master: Master) => Promise<unknown>)[] = [
    (master) => master.execve({ args: ['sleep', '100'] }),
    (master) => master.execve({ args: ['true'], syncFunc: () => timeout(50) }),
    (master) => master.run('sh', ['-c', 'while :; do sleep 0.001 & done'], { limits: { outputBytes: 100 } }),
    (master) => master.spawn('cat').result,
    (master) => master.copyIn(Buffer.alloc(4 << 20), 'copied'),
    (master) =>
      master.copyIn(
        Readable.from(
          (async function* () {
            for (;;) {
              yield Buffer.alloc(1000)
              await timeout(1)
            }
          })(),
        ),
        'streamed',
      ),
    (master) => master.open('file', 'w+').then((file) => file.close()),
    (master) => master.reset(),
    (master) => master.delete('x', { recursive: true }),
    (master) => master.ping(),
    (master) => master.destroy(),
  ]
  for (let i = 0; i < 30; i++) {
    const master = await Master.create(masterOptions())
    const calls = verbs.map((verb) =>
      i % 3 === 2 ? timeout(Math.random() * 4).then(() => verb(master)) : verb(master),
    )
    const settled = Promise.allSettled(calls)
    if (i % 3 > 0) await timeout(Math.random() * 8)
    await within(Promise.all([master.destroy(), master.destroy()]), 'destroy', 5_000)
    await within(master.closed, 'closed', 1_000)
    for (const end of await within(settled, 'what was in flight', 5_000)) {
      if (end.status === 'rejected') t.is((end.reason as HotcellError).code, 'ERR_HOTCELL_CLOSED', String(end.reason))
    }
  }
  await nothingLeft(t, before)
})

test.serial('requests by the thousand, all at once', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('content'), 'file')
  const before = census()
  // More than the socket takes: they line up, in order, and all are answered.
  const opened = await within(
    Promise.all(
      Array.from({ length: 400 }, async () => {
        await using file = await master.open('file', 'r')
        return await file.readFile('utf8')
      }),
    ),
    'the files',
  )
  t.true(opened.every((content) => content === 'content'))
  await within(Promise.all(Array.from({ length: 3_000 }, () => master.ping())), 'the pings')
  await within(
    Promise.all(Array.from({ length: 300 }, () => master.execve({ args: ['true', 'x'.repeat(20_000)] }))),
    'the runs',
  )
  await nothingLeft(t, before)
})
