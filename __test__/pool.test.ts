// Pool: many containers, each of which has one user at a time.
import { chmodSync, mkdtempSync, mkdirSync, rmdirSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { HotcellError, Pool, type Execution, type Master, type PoolOptions } from '../index.js'
import { allFds, descendantsOf, isAlive, livingDescendantsOf, openFds, threads } from './support/counters.js'
import { aborts, rejects } from './support/errors.js'
import { masterOptions } from './support/mode.js'
import { runNode } from './support/node.js'
import { deferred, until, within } from './support/waiting.js'

/** Without spares, unless they are what it is about. */
async function createPool(t: ExecutionContext, options: PoolOptions = {}): Promise<Pool> {
  const pool = await Pool.create({ spare: 0, ...options, container: masterOptions(options.container) })
  t.teardown(() => pool.destroy())
  return pool
}

/** Takes a cell until it is told to let go; resolves once it has it. */
async function hold(pool: Pool): Promise<{ master: Master; release: () => void; over: Promise<void> }> {
  const [got, release] = [deferred<Master>(), deferred()]
  const over = pool.use(async (master) => {
    got.resolve(master)
    await release.promise
  })
  over.catch((error: Error) => got.reject(error))
  return { master: await within(got.promise, 'a cell'), release: release.resolve, over }
}

const idle = (pool: Pool, count: number): Promise<void> =>
  until(() => pool.stats.idle === count && pool.stats.size === count, `${count} idle cells`)

test('a run is that of a Master', async (t) => {
  const pool = await createPool(t, { size: 1 })
  t.like(await pool.run('echo', ['hello']), { status: 'ok', stdout: 'hello\n' })
  const collected = await pool.run('sh', ['-c', 'tr a-z A-Z < in > out; exit 3'], {
    files: { in: Buffer.from('abc') },
    collect: ['out'],
    encoding: 'buffer',
  })
  t.like(collected, { status: 'nonzero-exit', exitCode: 3, stdout: Buffer.alloc(0) })
  t.is(String(collected.files['out']), 'ABC')
  t.is((await pool.run('cat', [], { input: 'input' })).stdout, 'input')
  await rejects(t, pool.run('absent'), 'ENOENT')
  await t.throwsAsync(pool.run('true', [], { limit: {} } as object), { instanceOf: TypeError, message: /"limits"/ })
  t.is((await pool.run('true')).status, 'ok')
})

test('nothing of a run is left for the next one', async (t) => {
  const pool = await createPool(t, { size: 1 })
  const litter = 'echo x > /w/left; echo x > /tmp/left; (setsid sleep 1000 &) ; ls -A /w /tmp /dev/shm | wc -l'
  for (let i = 0; i < 5; i++) t.is((await pool.run('sh', ['-c', litter])).stdout.trim(), '7')
  await idle(pool, 1)
  const { master, release } = await hold(pool)
  t.deepEqual(livingDescendantsOf(master.pid), [])
  release()
})

test('a cell in which nothing was left is the next one’s at once; any trace of a run, and it is reset', async (t) => {
  const pool = await createPool(t, { size: 1 })
  // What nobody has touched is known of a container that was reset.
  await pool.run('true')
  await idle(pool, 1)
  const turns: [name: string, isReset: boolean, turn: (master: Master) => Promise<unknown>][] = [
    ['a run', false, (master) => master.run('true')],
    ['several', false, (master) => Promise.all([master.run('true'), master.execve({ args: ['true'] })])],
    ['a run that fails', false, (master) => master.run('false')],
    ['a file', true, (master) => master.run('sh', ['-c', 'echo > /tmp/x'])],
    ['a file that came and went', true, (master) => master.run('sh', ['-c', 'echo > /w/x; rm /w/x'])],
    ['a mode', true, (master) => master.run('chmod', ['700', '/w'])],
    ['a process', false, (master) => master.run('sh', ['-c', '(setsid sleep 1000 &)'])],
    ['a file that is still open', true, (master) => master.open('x', 'w+')],
    ['a file before a run', true, async (master) => (await master.symlink('x', 'y'), await master.run('true'))],
    ['a file after a run', true, async (master) => (await master.run('true'), await master.symlink('x', 'y'))],
    ['a file that nobody waits for', true, async (master) => (await master.run('true'), void master.symlink('x', 'y'))],
    ['a run that nobody waits for', true, async (master) => void (await master.spawn('sleep', ['1000']).started)],
    ['a run without a filter', true, (master) => master.run('true', [], { seccomp: 'off' })],
    ['nothing but a look', true, (master) => master.ping()],
  ]
  for (const [name, isReset, turn] of turns) {
    await pool.use(turn)
    t.is(pool.stats.resetting, isReset ? 1 : 0, name)
    const left = await pool.use((master) => master.run('sh', ['-c', 'ls -A /w /tmp /dev/shm; stat -c %a /w']))
    t.is(left.stdout, '/dev/shm:\n\n/tmp:\n\n/w:\n755\n', name)
    await idle(pool, 1)
  }
})

test('a copy that goes on when its turn is over reaches nobody, and neither does what it is still to read', async (t) => {
  const pool = await createPool(t, { size: 1 })
  await pool.run('true')
  await idle(pool, 1)
  const archive = new PassThrough()
  await pool.use(async (master) => {
    void master.copyInTar(archive, 'left').catch(() => undefined)
    // Nothing is left of it yet, and nothing asked for.
    await master.run('true')
  })
  t.is(pool.stats.resetting, 1)
  const look = await pool.use(async (master) => {
    archive.end(Buffer.alloc(1024))
    await once(archive, 'close')
    return await master.run('ls', ['-A', '/w'])
  })
  t.is(look.stdout, '')
})

test('64 runs at once on 2 cells, first come, first served', async (t) => {
  const pool = await createPool(t, { size: 2 })
  const order: number[] = []
  const pids = new Set<number>()
  await Promise.all(
    Array.from({ length: 64 }, async (_, i) => {
      const { stdout } = await pool.use((master) => {
        order.push(i)
        pids.add(master.pid)
        return master.run('echo', [String(i)])
      })
      t.is(stdout, `${i}\n`)
    }),
  )
  t.deepEqual(order, [...Array(64).keys()])
  t.is(pids.size, 2)
  const results = await Promise.all(Array.from({ length: 64 }, (_, i) => pool.run('echo', [String(i)])))
  t.deepEqual(
    results.map(({ stdout }) => stdout),
    results.map((_, i) => `${i}\n`),
  )
  t.like(pool.stats, { runs: 128, queued: 0, busy: 0, created: 2, lost: 0, failed: 0 })
})

test('one user at a time has a cell', async (t) => {
  const pool = await createPool(t, { size: 3 })
  const inUse = new Set<number>()
  await Promise.all(
    Array.from({ length: 40 }, () =>
      pool.use(async ({ pid }) => {
        t.false(inUse.has(pid))
        inUse.add(pid)
        await new Promise(setImmediate)
        inUse.delete(pid)
      }),
    ),
  )
  t.pass()
})

test('whoever waits may give up, and the others go on', async (t) => {
  const pool = await createPool(t, { size: 1 })
  const { release, over } = await hold(pool)
  const controllers = [new AbortController(), new AbortController()]
  const [first, second] = controllers as [AbortController, AbortController]
  const waiting = pool.run('true', [], { signal: first.signal })
  const using = pool.use(() => t.fail('it was given up'), { signal: second.signal })
  const last = pool.run('echo', ['last'])
  t.is(pool.stats.queued, 3)
  first.abort('first')
  await aborts(t, waiting, 'first')
  t.is(pool.stats.queued, 2)
  second.abort('second')
  await aborts(t, using, 'second')
  await aborts(t, pool.run('true', [], { signal: AbortSignal.abort('early') }), 'early')
  await aborts(
    t,
    pool.use(() => t.fail('it was aborted'), { signal: AbortSignal.abort('early') }),
    'early',
  )
  release()
  await over
  t.is((await last).stdout, 'last\n')
  t.like(pool.stats, { queued: 0, runs: 2 })
})

test('a signal that comes together with the cell', async (t) => {
  const pool = await createPool(t, { size: 1 })
  let [used, aborted] = [0, 0]
  for (let turns = 0; turns < 40; turns++) {
    const controller = new AbortController()
    const running = pool.run('true')
    const late = pool
      .use(() => void used++, { signal: controller.signal })
      .catch((error: Error) => {
        t.is(error.name, 'AbortError', error.stack)
        aborted++
      })
    await running
    for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
    controller.abort()
    await within(late, 'the second user')
  }
  t.is(used + aborted, 40)
  t.log(`${aborted} were aborted in time`)
  t.is((await pool.run('echo', ['x'])).stdout, 'x\n')
  t.like(pool.stats, { queued: 0, busy: 0 })
})

test('aborting a run kills it, and frees its cell', async (t) => {
  const pool = await createPool(t, { size: 1 })
  const controller = new AbortController()
  const running = pool.run('sh', ['-c', 'echo x > f; exec sleep 1000'], { signal: controller.signal })
  const next = pool.run('ls', ['-A'])
  controller.abort('enough')
  await aborts(t, running, 'enough')
  t.is((await next).stdout, '')
})

test('a queue that is full', async (t) => {
  const pool = await createPool(t, { size: 1, maxQueue: 2 })
  const { release } = await hold(pool)
  const waiting = [pool.run('echo', ['1']), pool.use((master) => master.run('echo', ['2']))]
  const error = await rejects(t, pool.run('echo', ['3']), 'ERR_HOTCELL_POOL_FULL')
  t.regex(error.message, /maxQueue: 2/)
  await rejects(
    t,
    pool.use(() => undefined),
    'ERR_HOTCELL_POOL_FULL',
  )
  release()
  t.deepEqual(
    (await Promise.all(waiting)).map(({ stdout }) => stdout),
    ['1\n', '2\n'],
  )
})

test('with maxQueue 0, waiting for a reset is no waiting', async (t) => {
  const pool = await createPool(t, { size: 2, min: 0, maxQueue: 0 })
  for (let i = 0; i < 5; i++) {
    const results = await Promise.all([pool.run('echo', ['a']), pool.run('echo', ['b'])])
    t.deepEqual(
      results.map(({ stdout }) => stdout),
      ['a\n', 'b\n'],
    )
  }
  const three = await Promise.allSettled([pool.run('true'), pool.run('true'), pool.run('true')])
  t.deepEqual(
    three.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected'],
  )
})

test('use: what the function returns and throws', async (t) => {
  const pool = await createPool(t, { size: 1 })
  t.is(await pool.use(() => 7), 7)
  t.is(await pool.use(async (master) => (await master.run('echo', ['x'])).stdout), 'x\n')
  const failure = new Error('of the user')
  t.is(await t.throwsAsync(pool.use(() => Promise.reject(failure))), failure)
  t.is(
    await t.throwsAsync(
      pool.use(() => {
        throw failure
      }),
    ),
    failure,
  )
  await t.throwsAsync(pool.use('x' as never), { instanceOf: TypeError })
  t.is((await pool.run('echo', ['x'])).stdout, 'x\n')
  t.like(pool.stats, { lost: 0, created: 1 })
})

test('a Master that outlives its turn reaches nobody', async (t) => {
  const pool = await createPool(t, { size: 1 })
  const leaked: { master?: Master; run?: Execution<'utf8'>; pid?: number } = {}
  await pool.use(async (master) => {
    leaked.master = master
    leaked.run = master.spawn('sleep', ['1000'])
    leaked.run.result.catch(() => undefined)
    leaked.pid = await leaked.run.started
  })
  const { master, run, pid } = leaked as Required<typeof leaked>
  await within(master.closed, 'closed')
  const other = await hold(pool)
  t.is(other.master.pid, master.pid)
  await other.master.copyIn(Buffer.from('secret'), 'mine')
  t.false(isAlive(pid))
  t.false(run.kill('SIGKILL'))
  for (const verb of [
    () => master.ping(),
    () => master.copyIn(Buffer.from('x'), 'mine'),
    () => master.copyOut('mine'),
    () => master.open('mine', 'w'),
    () => master.symlink('x', 'y'),
    () => master.delete('mine'),
    () => master.reset(),
    () => master.execve({ args: ['true'] }),
    () => master.run('true'),
    () => master.run('true', [], { files: { mine: Buffer.from('x') } }),
  ]) {
    await rejects(t, verb(), 'ERR_HOTCELL_CLOSED', String(verb))
  }
  t.throws(() => master.spawn('true'), { instanceOf: HotcellError, code: 'ERR_HOTCELL_CLOSED' })
  await within(master.destroy(), 'destroy')
  await other.master.ping()
  t.is(String(await other.master.copyOut('mine')), 'secret')
  other.release()
})

test('what still goes on when a turn is over does not go on in the next one', async (t) => {
  const pool = await createPool(t, { size: 1 })
  const source = new PassThrough()
  source.write('first half')
  const file = deferred<Awaited<ReturnType<Master['open']>>>()
  let late: Promise<unknown>[] = []
  await pool.use(async (master) => {
    file.resolve(await master.open('file', 'w'))
    late = [
      master.copyIn(source, 'copied'),
      master.run('sh', ['-c', 'echo ran > ran'], { files: { first: source, second: Buffer.from('x') } }),
      master.execve({ args: ['touch', 'executed'], syncFunc: () => new Promise(() => undefined) }),
    ]
  })
  const ends = Promise.allSettled(late)
  const { master, release } = await hold(pool)
  source.end('second half')
  await (await file.promise).write('x')
  await (await file.promise).close()
  const [copied, ran, executed] = await within(ends, 'what was left')
  t.deepEqual([copied?.status, ran?.status], ['rejected', 'rejected'])
  // The reset killed it at its sync point, before the program was executed.
  t.like(executed, { status: 'fulfilled', value: { status: 'signaled', signal: 'SIGKILL' } })
  t.is((await master.run('ls', ['-A'])).stdout, '')
  release()
})

test('a cell that is lost takes its run along, and no other', async (t) => {
  const pool = await createPool(t, { size: 2 })
  const [doomed, other] = [await hold(pool), await hold(pool)]
  const waiting = pool.run('echo', ['waited'])
  const lost = doomed.master.run('sleep', ['1000'])
  process.kill(doomed.master.pid, 'SIGKILL')
  await rejects(t, lost, 'ERR_HOTCELL_CONTAINER_LOST')
  await within(doomed.master.closed, 'closed')
  await rejects(t, doomed.master.ping(), 'ERR_HOTCELL_CONTAINER_LOST')
  // It is replaced while its user still thinks about it.
  t.is((await within(waiting, 'the run')).stdout, 'waited\n')
  await other.master.ping()
  for (const { release, over } of [doomed, other]) {
    release()
    await over
  }
  await idle(pool, 2)
  t.like(pool.stats, { lost: 1, created: 3, failed: 0 })
})

test('a cell that is lost while it is idle is replaced; so is one that its user destroys', async (t) => {
  const pool = await createPool(t, { size: 1 })
  const pid = await pool.use((master) => master.pid)
  await idle(pool, 1)
  process.kill(pid, 'SIGKILL')
  await until(() => pool.stats.lost === 1, 'the loss')
  await idle(pool, 1)
  t.not(await pool.use((master) => master.pid), pid)
  await pool.use((master) => master.destroy())
  t.is((await pool.run('echo', ['x'])).stdout, 'x\n')
  t.like(pool.stats, { lost: 2, created: 3 })
})

test('a cell that hangs is found by its health check', async (t) => {
  const pool = await createPool(t, { size: 1, healthCheckMs: 100 })
  const pid = await pool.use((master) => master.pid)
  await idle(pool, 1)
  process.kill(pid, 'SIGSTOP')
  await until(() => pool.stats.lost === 1, 'the loss')
  await idle(pool, 1)
  t.is((await pool.run('echo', ['x'])).stdout, 'x\n')
})

test('destroy ends who runs and who waits', async (t) => {
  const pool = await createPool(t, { size: 2 })
  const running = pool.run('sleep', ['1000'])
  const using = hold(pool)
  const waiting = [pool.run('true'), pool.use(() => t.fail('it was destroyed'))]
  const { master, release, over } = await using
  const ends = Promise.all([running, ...waiting].map((run) => rejects(t, run, 'ERR_HOTCELL_CLOSED')))
  await within(Promise.all([pool.destroy(), pool.destroy()]), 'destroy')
  await ends
  t.false(isAlive(master.pid))
  await rejects(t, master.ping(), 'ERR_HOTCELL_CLOSED')
  release()
  await over
  await rejects(t, pool.run('true'), 'ERR_HOTCELL_CLOSED')
  await rejects(
    t,
    pool.use(() => undefined),
    'ERR_HOTCELL_CLOSED',
  )
  await within(pool.drain(), 'drain')
  t.like(pool.stats, { size: 0, busy: 0, idle: 0, resetting: 0, queued: 0, lost: 0 })
})

test('destroy while a container is being made', async (t) => {
  const pool = await createPool(t, { size: 4, min: 1 })
  const runs = Array.from({ length: 4 }, () => pool.run('sleep', ['1000']))
  t.is(pool.stats.creating, 3)
  const ends = Promise.all(runs.map((run) => rejects(t, run, 'ERR_HOTCELL_CLOSED')))
  await within(pool.destroy(), 'destroy')
  await ends
  t.like(pool.stats, { size: 0, creating: 0, failed: 0 })
})

test('drain lets everybody finish, and nobody in', async (t) => {
  const pool = await createPool(t, { size: 1 })
  const { release, over } = await hold(pool)
  const waiting = pool.run('echo', ['waited'])
  const drained = pool.drain()
  await rejects(t, pool.run('true'), 'ERR_HOTCELL_CLOSED')
  release()
  await over
  t.is((await waiting).stdout, 'waited\n')
  await within(drained, 'drain')
  t.is(pool.stats.size, 0)
  await within((await createPool(t, { size: 1 })).drain(), 'drain of an idle pool')
})

test('a drain that takes too long is cut short by destroy', async (t) => {
  const pool = await createPool(t, { size: 1 })
  const running = pool.run('sleep', ['1000'])
  const drained = pool.drain()
  await pool.destroy()
  await rejects(t, running, 'ERR_HOTCELL_CLOSED')
  await within(drained, 'drain')
})

test('a pool whose first containers cannot be made', async (t) => {
  const container = masterOptions({ mounts: [{ source: '/no/such/folder', target: '/x' }] })
  await t.throwsAsync(Pool.create({ size: 4, container }), { instanceOf: HotcellError })
  await t.throwsAsync(Pool.create({ size: 4, min: 0, container }), { instanceOf: HotcellError })
  const failure = new Error('not prepared')
  const prepare = (): Promise<void> => Promise.reject(failure)
  t.is(await t.throwsAsync(Pool.create({ size: 2, container: masterOptions(), prepare })), failure)
  await aborts(t, Pool.create({ container: masterOptions(), signal: AbortSignal.abort('no') }), 'no')
  const controller = new AbortController()
  const creating = Pool.create({ container: masterOptions(), signal: controller.signal })
  controller.abort('changed my mind')
  await aborts(t, creating, 'changed my mind')
})

test('a container that cannot be replaced: who waits is told, and the pool goes on', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'hotcell-pool-'))
  chmodSync(folder, 0o755)
  const source = join(folder, 'mounted')
  mkdirSync(source, { mode: 0o755 })
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const { defaultMounts } = await import('../index.js')
  const pool = await createPool(t, {
    size: 1,
    container: { mounts: [...defaultMounts(), { source, target: '/mounted' }] },
  })
  const { master, release, over } = await hold(pool)
  const waiting = [pool.run('true'), pool.run('true')]
  const ends = Promise.all(waiting.map((run) => t.throwsAsync(run, { instanceOf: HotcellError })))
  rmdirSync(source)
  process.kill(master.pid, 'SIGKILL')
  await within(ends, 'those who wait')
  release()
  await over
  await t.throwsAsync(pool.run('true'), { instanceOf: HotcellError })
  mkdirSync(source, { mode: 0o755 })
  t.is((await pool.run('echo', ['x'])).stdout, 'x\n')
  t.true(pool.stats.failed >= 2)
})

test('min, size and idleMs', async (t) => {
  const pool = await createPool(t, { size: 4, min: 1, idleMs: 50 })
  t.like(pool.stats, { size: 1, idle: 1, created: 1 })
  await Promise.all(Array.from({ length: 8 }, () => pool.run('sleep', ['0.1'])))
  t.is(pool.stats.created, 4)
  await idle(pool, 1)
  t.is(pool.stats.lost, 0)
  t.is((await pool.run('echo', ['x'])).stdout, 'x\n')
  const none = await createPool(t, { size: 1, min: 0, idleMs: 1 })
  await until(() => none.stats.size === 0, 'no cell')
  t.is((await none.run('echo', ['x'])).stdout, 'x\n')
})

test('spares are ready while others are reset, and no more are in use for it', async (t) => {
  const pool = await createPool(t, { size: 2, spare: 2, min: 1, idleMs: 50 })
  t.is(pool.stats.size, 1)
  const [a, b] = [await hold(pool), await hold(pool)]
  const waiting = [pool.run('echo', ['1']), pool.run('echo', ['2'])]
  await until(() => pool.stats.idle === 2, 'the spares')
  t.like(pool.stats, { size: 4, busy: 2, queued: 2 })
  a.release()
  await a.over
  // In the same turn of the event loop in which the first one is given back.
  t.like(pool.stats, { busy: 2, queued: 1, resetting: 1 })
  b.release()
  t.deepEqual(
    (await Promise.all(waiting)).map(({ stdout }) => stdout),
    ['1\n', '2\n'],
  )
  await idle(pool, 1)
  await Promise.all(
    Array.from({ length: 30 }, () =>
      pool.use(async (master) => {
        t.true(pool.stats.busy <= 2)
        await master.run('true')
      }),
    ),
  )
  t.like(pool.stats, { lost: 0, failed: 0, queued: 0, busy: 0 })
})

test('there are never more containers than size and spare', async (t) => {
  const pools = await Promise.all(Array.from({ length: 4 }, () => createPool(t, { size: 4, min: 1 })))
  await Promise.all(pools.flatMap((pool) => Array.from({ length: 16 }, () => pool.run('sleep', ['0.02']))))
  t.deepEqual(
    pools.map(({ stats }) => stats.created),
    [4, 4, 4, 4],
  )
})

test('maxRunsPerCell', async (t) => {
  const pool = await createPool(t, { size: 1, maxRunsPerCell: 2 })
  const pids: number[] = []
  for (let i = 0; i < 6; i++) pids.push(await pool.use((master) => master.pid))
  t.is(new Set(pids).size, 3)
  t.true(pids[0] === pids[1] && pids[2] === pids[3] && pids[1] !== pids[2])
  await until(() => pids.every((pid) => pid === pids[5] || !isAlive(pid)), 'the end of the others')
  t.is(pool.stats.lost, 0)
})

test('prepare: before anybody gets it, each time', async (t) => {
  let prepared = 0
  let fail = false
  const leaked: Master[] = []
  const prepare = async (master: Master): Promise<void> => {
    leaked.push(master)
    prepared++
    await master.copyIn(Buffer.from('#!/bin/sh\necho prepared\n'), 'tool', { mode: 0o755 })
    if (fail) throw new Error('not prepared')
  }
  const pool = await createPool(t, { size: 1, prepare })
  t.is((await pool.run('./tool')).stdout, 'prepared\n')
  t.is((await pool.run('sh', ['-c', './tool; rm tool'])).stdout, 'prepared\n')
  t.is((await pool.run('./tool')).stdout, 'prepared\n')
  await idle(pool, 1)
  t.is(prepared, 4)
  await rejects(t, (leaked[3] as Master).ping(), 'ERR_HOTCELL_CLOSED')
  fail = true
  await pool.run('true')
  await t.throwsAsync(pool.run('true'), { message: 'not prepared' })
  fail = false
  t.is((await pool.run('./tool')).stdout, 'prepared\n')
})

test('stats', async (t) => {
  const pool = await createPool(t, { size: 2, min: 2 })
  t.like(pool.stats, { size: 2, idle: 2, busy: 0, queued: 0, created: 2, runs: 0 })
  t.deepEqual([pool.stats.runTime.count, pool.stats.runTime.percentile(50), pool.stats.runTime.minMs], [0, 0, 0])
  const [a, b] = [await hold(pool), await hold(pool)]
  const waiting = pool.run('true')
  t.like(pool.stats, { size: 2, idle: 0, busy: 2, queued: 1 })
  for (const { release } of [a, b]) release()
  await waiting
  await idle(pool, 2)
  await pool.run('sleep', ['0.2'])
  const { runs, runTime, waitTime } = pool.stats
  t.is(runs, 4)
  t.is(runTime.count, 4)
  t.true(runTime.maxMs >= 200)
  t.true(runTime.percentile(100) === runTime.maxMs && runTime.percentile(0) >= runTime.minMs)
  t.true(runTime.percentile(50) <= runTime.percentile(99))
  t.true(runTime.meanMs >= 50 && runTime.meanMs <= runTime.maxMs)
  t.is(
    runTime.buckets().reduce((sum, { count }) => sum + count, 0),
    4,
  )
  t.is(waitTime.count, 4)
  t.true(waitTime.maxMs > 0)
  for (const percent of [-1, 101, Number.NaN]) t.throws(() => runTime.percentile(percent), { instanceOf: RangeError })
})

test('options that are not understood', async (t) => {
  const wrong: [object, RegExp][] = [
    [{ sizes: 2 }, /There is no option "sizes". Did you mean "size"\?/],
    [{ size: 0 }, /"size" option must be an integer >= 1/],
    [{ size: 1.5 }, /"size"/],
    [{ size: 2, min: 5 }, /"min" option must be an integer >= 0 and <= 4/],
    [{ size: 2, spare: -1 }, /"spare"/],
    [{ idleMs: 0 }, /"idleMs"/],
    [{ idleMs: 2 ** 31 }, /"idleMs"/],
    [{ maxQueue: -1 }, /"maxQueue"/],
    [{ maxQueue: '1' }, /"maxQueue"/],
    [{ maxRunsPerCell: 0 }, /"maxRunsPerCell"/],
    [{ healthCheckMs: null, size: 1, min: Number.NaN }, /"min"/],
    [{ prepare: 7 }, /"prepare" option must be a function/],
    [{ container: 7 }, /"container" option must be an object/],
    [{ container: { signal: new AbortController().signal } }, /"container.signal"/],
    [{ container: { hostnam: 'x' } }, /There is no option "hostnam"/],
    [{ signal: 7 }, /"signal"/],
  ]
  for (const [options, message] of wrong) await t.throwsAsync(Pool.create(options), { message })
})

test('a program that forgot destroy still exits; one that waits for its runs does not exit before', async (t) => {
  const { code, stdout, stderr } = await within(
    runNode(`
      import { Pool } from './index.js'
      import { masterOptions } from './__test__/support/mode.js'
      const pool = await Pool.create({ size: 2, min: 1, container: masterOptions() })
      const runs = Array.from({ length: 6 }, () => pool.run('sleep', ['0.1']))
      Promise.all(runs).then(() => console.log('done'))
    `),
    'the program',
  )
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'done\n', stderr: '' })
})

test('a pool that nobody has any more is collected with its containers', async (t) => {
  const { stdout, stderr } = await within(
    runNode(
      `
      import { Pool } from './index.js'
      import { masterOptions } from './__test__/support/mode.js'
      import { until } from './__test__/support/waiting.js'
      import { isAlive } from './__test__/support/counters.js'
      async function use() {
        const pool = await Pool.create({ size: 3, min: 2, idleMs: 20, healthCheckMs: 20, container: masterOptions() })
        await Promise.all([1, 2, 3].map(() => pool.run('sleep', ['0.05'])))
        return await Promise.all([1, 2].map(() => pool.use((master) => master.pid)))
      }
      const pids = await use()
      await until(() => { gc(); return !pids.some(isAlive) }, 'the end of the containers', 10_000)
      console.log('collected')
      `,
      { nodeArguments: ['--expose-gc'] },
    ),
    'the program',
  )
  t.deepEqual({ stdout, stderr }, { stdout: 'collected\n', stderr: '' })
})

test('in worker threads, each with its own', async (t) => {
  const workers = [1, 2].map(() => new Worker(new URL('support/pool-worker.ts', import.meta.url)))
  const ends = Promise.all(workers.map((worker) => once(worker, 'exit')))
  for (const [outputs] of await within(Promise.all(workers.map((worker) => once(worker, 'message'))), 'the runs')) {
    t.deepEqual(outputs, [...Array(20).keys()])
  }
  // They forgot to destroy their pools.
  t.deepEqual(await within(ends, 'the ends of the threads'), [[0], [0]])
})

test.serial('five thousand runs leave nothing', async (t) => {
  const runs = Number(process.env['HOTCELL_TEST_POOL_RUNS'] ?? 5_000)
  const pool = await createPool(t, { size: 2 })
  const lane = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const { stdout } = await pool.run('/bin/sh', ['-c', 'echo x > f; echo *'])
      if (stdout !== 'f\n') throw new Error(`run ${i} saw ${stdout}`)
    }
  }
  await Promise.all(Array.from({ length: 8 }, () => lane(10)))
  await idle(pool, 2)
  const census = (): object => ({
    fds: openFds().size,
    all: allFds().size,
    threads: threads().length,
    children: descendantsOf(process.pid).length,
  })
  const before = census()
  await Promise.all(Array.from({ length: 8 }, () => lane(runs / 8)))
  await idle(pool, 2)
  t.deepEqual(census(), before)
  t.like(pool.stats, { created: 2, lost: 0, failed: 0, runs: runs + 80, queued: 0 })
  const { runTime } = pool.stats
  t.log(`median ${runTime.percentile(50).toFixed(2)} ms, p99 ${runTime.percentile(99).toFixed(2)} ms`)
})
