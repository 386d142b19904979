// What hotcell tells on channels of node:diagnostics_channel, and the log that is made of it. Channels are global: one test after the other.
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe, type TracingChannel } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import test, { type ExecutionContext } from 'ava'
import {
  channels,
  Master,
  pipeline,
  Pool,
  type CloseMessage,
  type CopyMessage,
  type CreateMessage,
  type OperationMessage,
  type PipelineMessage,
  type PoolFailedMessage,
  type PoolLostMessage,
  type PoolTurnMessage,
  type ResetMessage,
  type RunMessage,
} from '../index.js'
import { askedFor } from '../src/diagnostics/log.js'
import { rejects } from './support/errors.js'
import { createMaster, masterOptions } from './support/mode.js'
import { runNode } from './support/node.js'
import { deferred, within } from './support/waiting.js'

const events = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const

/** Hears all events of an operation until the test ends: their names and messages. */
function hear<M extends OperationMessage>(
  t: ExecutionContext,
  operation: TracingChannel<unknown, M>,
): { names: string[]; messages: M[] } {
  const heard: { names: string[]; messages: M[] } = { names: [], messages: [] }
  for (const event of events) {
    const listener = (message: unknown): void => {
      heard.names.push(event)
      if (event === 'start') heard.messages.push(message as M)
    }
    operation[event].subscribe(listener)
    t.teardown(() => operation[event].unsubscribe(listener))
  }
  return heard
}

/** Hears a plain channel, by its name. */
function hearPlain<M>(t: ExecutionContext, name: string): M[] {
  const heard: M[] = []
  const listener = (message: unknown): void => void heard.push(message as M)
  subscribe(name, listener)
  t.teardown(() => unsubscribe(name, listener))
  return heard
}

const completed = ['start', 'end', 'asyncStart', 'asyncEnd']
const failed = ['start', 'end', 'error', 'asyncStart', 'asyncEnd']

test.serial('a run is told of from the call to its verdict, in each of the three ways', async (t) => {
  const master = await createMaster(t, { limits: { wallTimeMs: 20_000 } })
  const { names, messages } = hear<RunMessage>(t, channels.run)
  const run = await master.run('sh', ['-c', 'echo out; exit 3'], { limits: { outputBytes: 100 } })
  await master.execve({ args: ['true'] })
  const execution = master.spawn('echo', ['hello'])
  t.deepEqual(names, [...completed, ...completed, 'start', 'end'])
  const spawned = await execution
  t.deepEqual(names, [...completed, ...completed, ...completed])
  t.is(messages[0]?.result, run)
  t.like(messages[0], {
    method: 'run',
    initPid: master.pid,
    args: ['sh', '-c', 'echo out; exit 3'],
    limits: { wallTimeMs: 20_000, outputBytes: 100 },
    error: undefined,
  })
  t.like(messages[1], { method: 'execve', args: ['true'], limits: { wallTimeMs: 20_000 } })
  t.is(messages[1]?.result?.status, 'ok')
  t.like(messages[2], { method: 'spawn', args: ['echo', 'hello'] })
  t.is(messages[2]?.result?.wallTimeMs, spawned.wallTimeMs)
})

test.serial('what cannot be run is an error, and so are wrong options', async (t) => {
  const master = await createMaster(t)
  const { names, messages } = hear<RunMessage>(t, channels.run)
  const absent = await rejects(t, master.run('absent'), 'ENOENT')
  t.deepEqual(names.splice(0), failed)
  t.is(messages.at(-1)?.error, absent)
  t.is(messages.at(-1)?.result, undefined)

  const spawned = await rejects(t, master.spawn('absent'), 'ENOENT')
  t.deepEqual(names.splice(0), failed)
  t.is(messages.at(-1)?.error, spawned)

  const wrong = await t.throwsAsync(master.execve({ args: [], limits: 7 } as never), { instanceOf: TypeError })
  t.deepEqual(names.splice(0), failed)
  t.is(messages.at(-1)?.error, wrong)
  await t.throwsAsync(master.execve(undefined as never), { instanceOf: TypeError })
  await t.throwsAsync(master.run('true', 'no array' as never, null as never), { instanceOf: TypeError })
  t.deepEqual(names.splice(0), [...failed, ...failed])

  // It throws, so there is nothing to wait for.
  const thrown = t.throws(() => master.spawn('true', [], { unknown: 1 } as never), { instanceOf: TypeError })
  t.deepEqual(names.splice(0), ['start', 'error', 'end'])
  t.is(messages.at(-1)?.error, thrown)
})

test.serial('a program that writes too much has the same verdict for who watches', async (t) => {
  const master = await createMaster(t)
  const { messages } = hear<RunMessage>(t, channels.run)
  const result = await master.spawn('sh', ['-c', 'while :; do echo much; done'], { limits: { outputBytes: 1000 } })
  t.like(result, { status: 'output-limit', limit: 'stdout' })
  t.like(messages[0]?.result, { status: 'output-limit', limit: 'stdout' })
})

test.serial('files, resets and containers are told of', async (t) => {
  const creates = hear<CreateMessage>(t, channels.create)
  const copies = hear<CopyMessage>(t, channels.copy)
  const resets = hear<ResetMessage>(t, channels.reset)
  const closes = hearPlain<CloseMessage>(t, 'hotcell:close')
  const options = masterOptions()
  const master = await Master.create(options)
  t.deepEqual(creates.names, completed)
  t.is(creates.messages[0]?.options, options)
  t.is(creates.messages[0]?.result, master)

  await master.copyIn(Buffer.from('a'), 'file')
  await master.copyOut('file')
  // Those of a run are no others.
  await master.run('cp', ['a', 'b'], { files: { a: Buffer.from('a') }, collect: ['b', 'absent'] })
  t.deepEqual(
    copies.messages.map(({ direction, path, initPid }) => [direction, path, initPid === master.pid]),
    [
      ['in', 'file', true],
      ['out', 'file', true],
      ['in', 'a', true],
      ['out', 'b', true],
      ['out', 'absent', true],
    ],
  )
  t.is((copies.messages.at(-1)?.error as { code?: string } | undefined)?.code, 'ENOENT')
  await master.reset()
  t.deepEqual(resets.names, completed)
  t.is(resets.messages[0]?.initPid, master.pid)

  await master.destroy()
  t.deepEqual(closes, [{ initPid: master.pid, requested: true }])
  await t.throwsAsync(Master.create({ mounts: 3 } as never), { instanceOf: TypeError })
  t.deepEqual(creates.names.slice(4), failed)
})

test.serial('archives are told of: from the moment when somebody reads until they are closed', async (t) => {
  const master = await createMaster(t)
  const { names, messages } = hear<CopyMessage>(t, channels.copy)
  await master.run('sh', ['-c', 'mkdir d; echo 1 > d/f'])
  const unread = master.copyOutTar('d')
  t.deepEqual(messages, [])
  unread.destroy()

  const archive = await buffer(master.copyOutTar('d'))
  t.deepEqual(names.splice(0), completed)
  await master.copyInTar(archive, 'copy')
  t.deepEqual(names.splice(0), completed)
  await t.throwsAsync(buffer(master.copyOutTar('absent')), { code: 'ENOENT' })
  t.deepEqual(names.splice(0), failed)
  await t.throwsAsync(master.copyInTar(Buffer.from('no archive'), 'copy'), { code: 'ERR_HOTCELL_ARCHIVE' })

  // Who has seen enough has not failed.
  const enough = master.copyOutTar('d')
  await once(enough, 'readable')
  enough.destroy()
  await once(enough, 'close')
  t.deepEqual(
    messages.map(({ direction, path, error }) => [direction, path, (error as { code?: string } | undefined)?.code]),
    [
      ['out', 'd', undefined],
      ['in', 'copy', undefined],
      ['out', 'absent', 'ENOENT'],
      ['in', 'copy', 'ERR_HOTCELL_ARCHIVE'],
      ['out', 'd', undefined],
    ],
  )
  t.is(messages[0]?.initPid, master.pid)
})

test.serial('a container that is lost is told apart from one that was destroyed', async (t) => {
  const closes = hearPlain<CloseMessage>(t, 'hotcell:close')
  const master = await createMaster(t)
  process.kill(master.pid, 'SIGKILL')
  await within(master.closed, 'the end of the container')
  await new Promise(setImmediate)
  t.deepEqual(closes, [{ initPid: master.pid, requested: false }])
})

test.serial('what an operation does is done in the context that a subscriber of its start sets', async (t) => {
  const master = await createMaster(t)
  const store = new AsyncLocalStorage<string>()
  channels.run.start.bindStore(store, (message) => `bound ${(message as RunMessage).args[0] as string}`)
  t.teardown(() => channels.run.start.unbindStore(store))
  const other = new AsyncLocalStorage<string>()
  const entered: string[] = []
  const start = (message: unknown): void => {
    const operation = message as OperationMessage
    const before = operation.within
    operation.within = (fn) => {
      entered.push('within')
      return other.run('set', before === undefined ? fn : () => before(fn))
    }
  }
  channels.run.start.subscribe(start)
  t.teardown(() => channels.run.start.unsubscribe(start))
  const seen: unknown[] = []
  await master.execve({ args: ['true'], syncFunc: () => void seen.push(store.getStore(), other.getStore()) })
  t.deepEqual(seen, ['bound true', 'set'])
  await master.spawn('true')
  t.deepEqual(entered, ['within', 'within'])
  t.is(other.getStore(), undefined)
})

test.serial('a pool tells of turns, of waiting, and of what becomes of its containers', async (t) => {
  const turns = hear<PoolTurnMessage>(t, channels.poolTurn)
  const opened = hearPlain<{ pool: Pool }>(t, 'hotcell:pool:open')
  const closed = hearPlain<{ pool: Pool }>(t, 'hotcell:pool:close')
  const lost = hearPlain<PoolLostMessage>(t, 'hotcell:pool:lost')
  const pool = await Pool.create({ size: 1, spare: 0, container: masterOptions() })
  t.teardown(() => pool.destroy())
  t.deepEqual(opened, [{ pool }])

  const [first, release] = [deferred<number>(), deferred()]
  const using = pool.use(async (master) => {
    first.resolve(master.pid)
    await release.promise
    return 'done'
  })
  const pid = await within(first.promise, 'the first cell')
  const running = pool.run('true')
  t.like(turns.messages[0], { pool, method: 'use', wanted: 1, queued: 0, waitTimeMs: 0, result: undefined })
  t.like(turns.messages[1], { pool, method: 'run', wanted: 1, queued: 0, waitTimeMs: undefined })
  release.resolve()
  t.is(await using, 'done')
  t.is(turns.messages[0]?.result, 'done')
  t.is((await running).status, 'ok')
  t.true((turns.messages[1]?.waitTimeMs as number) > 0)

  const dying = pool.use(async (master) => {
    process.kill(master.pid, 'SIGKILL')
    await master.closed
    return master.pid
  })
  const died = await within(dying, 'the loss of a cell')
  t.is(died, pid)
  t.like(lost, { length: 1, 0: { pool, initPid: pid, state: 'busy' } })
  t.deepEqual(closed, [])
  await pool.destroy()
  t.deepEqual(closed, [{ pool }])
  t.is(lost.length, 1)
  await rejects(t, pool.run('true'), 'ERR_HOTCELL_CLOSED')
  t.is((turns.messages.at(-1)?.error as { code?: string } | undefined)?.code, 'ERR_HOTCELL_CLOSED')
})

test.serial('a pool tells why a container could not be made ready', async (t) => {
  const failures = hearPlain<PoolFailedMessage>(t, 'hotcell:pool:failed')
  let calls = 0
  const error = new Error('not this time')
  const pool = await Pool.create({
    size: 1,
    spare: 0,
    container: masterOptions(),
    prepare: () => {
      if (++calls === 2) throw error
    },
  })
  t.teardown(() => pool.destroy())
  await pool.run('true')
  // The next one gets another container: that of the first turn could not be prepared anew.
  t.is((await within(pool.run('true'), 'another container')).status, 'ok')
  t.deepEqual(failures, [{ pool, during: 'reset', error }])
})

test.serial('a pipeline and its stages are told of', async (t) => {
  const pipelines = hear<PipelineMessage>(t, channels.pipeline)
  const runs = hear<RunMessage>(t, channels.run)
  const turns = hear<PoolTurnMessage>(t, channels.poolTurn)
  const pool = await Pool.create({ size: 2, spare: 0, container: masterOptions() })
  t.teardown(() => pool.destroy())
  const result = await pipeline({ maker: ['seq', '5'], taker: ['tail', '-n', '1'] }, { pool })
  t.is(result.stages.taker.stdout, '5\n')
  t.deepEqual(pipelines.names, completed)
  t.like(pipelines.messages[0], { stages: ['maker', 'taker'] })
  t.like(pipelines.messages[0]?.result, { ok: true, cause: 'all-ended', deadlock: false })
  t.deepEqual(
    runs.messages.map(({ method, args, result: own }) => [method, args[0], own?.status]),
    [
      ['execve', 'seq', 'ok'],
      ['execve', 'tail', 'ok'],
    ],
  )
  t.like(turns.messages[0], { method: 'pipeline', wanted: 2 })
  await pipeline([['true'], ['true']], { container: masterOptions() })
  t.deepEqual(pipelines.messages[1]?.stages, [0, 1])
  await t.throwsAsync(pipeline(null as never), { instanceOf: TypeError })
  t.deepEqual(pipelines.names.slice(8), failed)
})

test.serial('nobody is told who does not listen any more, and nothing is told of twice', async (t) => {
  const master = await createMaster(t)
  const starts: unknown[] = []
  const listener = (message: unknown): void => void starts.push(message)
  channels.run.start.subscribe(listener)
  await master.run('true')
  channels.run.start.unsubscribe(listener)
  await master.run('true')
  t.is(starts.length, 1)
})

// ── the log ────────────────────────────────────────────────────────────────

test('DEBUG is read as the package of that name reads it', (t) => {
  const all = ['create', 'run', 'copy', 'reset', 'close', 'pipeline', 'pool']
  const asked = (DEBUG: string | undefined): string[] => askedFor(DEBUG === undefined ? {} : { DEBUG })
  t.deepEqual(asked(undefined), [])
  t.deepEqual(asked(''), [])
  t.deepEqual(asked('express:*, other'), [])
  t.deepEqual(asked('*'), all)
  t.deepEqual(asked('hotcell'), all)
  t.deepEqual(asked('hotcell:*'), all)
  t.deepEqual(asked('hotcell:run'), ['run'])
  t.deepEqual(asked('express:* hotcell:p*,hotcell:run'), ['run', 'pipeline', 'pool'])
  t.deepEqual(asked('hotcell:*,-hotcell:c*,-hotcell:reset'), ['run', 'pipeline', 'pool'])
  t.deepEqual(asked('*,-hotcell'), [])
  t.deepEqual(asked('hotcell.run'), [])
  t.deepEqual(asked('hotcell:(run|pool)'), [])
})

const program = `
import { Master, Pool, pipeline } from './index.js'
const options = ${JSON.stringify(masterOptions())}
const master = await Master.create(options)
await master.copyIn(Buffer.from('a'), 'file')
await master.run('sh', ['-c', 'exit 3'])
await master.run('true', ['two\\nlines', '\\u001b[31mred', 'x'.repeat(500)])
await master.run('absent').catch(() => undefined)
await master.run('sleep', ['10'], { limits: { wallTimeMs: 20 } })
await master.reset()
await pipeline([['true'], ['true']], { container: options })
const pool = await Pool.create({ size: 1, container: options })
await pool.run('true')
await pool.destroy()
const alive = setInterval(() => undefined, 1000)
process.kill(master.pid, 'SIGKILL')
await master.closed
clearInterval(alive)
console.log('done')
`

test('the log has a line for each thing that was done, if the environment asks for it', async (t) => {
  const clean = { DEBUG: undefined, NODE_DEBUG: undefined }
  const [silent, all, some, node] = await Promise.all([
    runNode(program, { env: clean }),
    runNode(program, { env: { ...clean, DEBUG: 'hotcell:*' } }),
    runNode(program, { env: { ...clean, DEBUG: '*,-hotcell:run' } }),
    runNode(program, { env: { ...clean, NODE_DEBUG: 'hotcell' } }),
  ])
  for (const each of [silent, all, some, node]) t.like(each, { code: 0, stdout: 'done\n' }, each.stderr)
  t.is(silent.stderr, '')
  const lines = all.stderr.trimEnd().split('\n')
  for (const line of lines) t.regex(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z hotcell:[a-z]+ \S/)
  const said = (pattern: RegExp): boolean =>
    t.is(lines.filter((line) => pattern.test(line)).length, 1, `${pattern}\n${all.stderr}`)
  said(/hotcell:copy file into \d+ \(/)
  said(/hotcell:run run sh -c 'exit 3' in \d+: nonzero-exit 3, cpu /)
  said(/hotcell:run run true 'two\\nlines' '\\x1B\[31mred' 'x{80}…' in \d+: ok/)
  said(/hotcell:run run absent in \d+ FAILED: .*HotcellError: ENOENT/)
  said(/hotcell:run run sleep 10 in \d+: time-limit wall/)
  // That of the pool is reset as well, or destroyed meanwhile.
  const pid = /hotcell:create container (\d+)/.exec(lines[0] as string)?.[1]
  said(new RegExp(`hotcell:reset container ${pid} \\(`))
  said(/hotcell:pipeline 0 \| 1: ok, all-ended \(/)
  said(/hotcell:pool run of 1, behind 0, waited 0\.0 ms; /)
  said(/hotcell:pool opened/)
  said(/hotcell:pool closed/)
  said(/hotcell:close container \d+ LOST$/)
  t.true(some.stderr.includes('hotcell:close') && !some.stderr.includes('hotcell:run'), some.stderr)
  // Whether a pool has anything to reset differs from time to time.
  const others = (text: string): number => text.split('\n').filter((line) => !line.includes('hotcell:reset')).length
  t.is(others(node.stderr), others(all.stderr), node.stderr)
})
