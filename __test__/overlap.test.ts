// Runs that go on at the same time in one container: each has its own end, its own kill, and its own leftovers.
import test, { type ExecutionContext } from 'ava'
import type { Execution, Master } from '../index.js'
import { install } from './support/compile.js'
import { livingDescendantsOf, isAlive } from './support/counters.js'
import { createMaster } from './support/mode.js'
import { within } from './support/waiting.js'

async function hold(t: ExecutionContext, master: Master): Promise<{ run: Execution; pid: number }> {
  const run = master.spawn('./behave', ['hold'])
  const pid = await run.started
  t.true(isAlive(pid))
  return { run, pid }
}

test('each settles when it ends, in whatever order', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const order: string[] = []
  const [first, second, third] = [await hold(t, master), await hold(t, master), await hold(t, master)]
  for (const { run, pid } of [second, third, first]) {
    t.true(run.kill('SIGTERM'))
    t.like(await run, { status: 'signaled', signal: 'SIGTERM' })
    t.false(isAlive(pid))
    order.push(String(pid))
  }
  t.deepEqual(
    order,
    [second, third, first].map(({ pid }) => String(pid)),
  )
})

test('a kill is for one of them', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const [a, b] = [await hold(t, master), await hold(t, master)]
  a.run.kill('SIGKILL')
  t.like(await a.run, { signal: 'SIGKILL' })
  t.false(isAlive(a.pid))
  t.true(isAlive(b.pid))
  b.run.kill('SIGINT')
  t.like(await b.run, { signal: 'SIGINT' })
})

test('what a run leaves behind dies with it: alone', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  t.is((await master.execve({ args: ['./behave', 'leave', '/w/lock'] })).status, 'ok')
  t.deepEqual(livingDescendantsOf(master.pid), [])
  t.like(await master.execve({ args: ['./behave', 'locked', '/w/lock'] }), { exitCode: 0 })
  t.is((await master.execve({ args: ['./behave', 'linger', '50'] })).status, 'ok')
  t.deepEqual(livingDescendantsOf(master.pid), [])
})

test('what a run leaves behind dies with it: beside one that started before', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const other = await hold(t, master)
  t.is((await within(master.execve({ args: ['./behave', 'leave', '/w/lock'] }), 'the run')).status, 'ok')
  t.like(await master.execve({ args: ['./behave', 'locked', '/w/lock'] }), { exitCode: 0 })
  t.deepEqual(livingDescendantsOf(master.pid), [other.pid])
  other.run.kill('SIGKILL')
  await other.run
})

test('what a run leaves behind dies with it: beside one that started after', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  // Holds its end back until its input ends, so that the other one starts in between.
  const leaver = master.spawn('/bin/sh', ['-c', './behave leave /w/lock; echo left; cat'])
  const { stdin } = leaver
  t.is(String(await new Promise((resolve) => leaver.stdout.once('data', resolve))), 'left\n')
  t.like(await master.execve({ args: ['./behave', 'locked', '/w/lock'] }), { exitCode: 1 })
  const other = await hold(t, master)
  stdin.end()
  t.is((await within(leaver, 'the run')).status, 'ok')
  t.deepEqual(livingDescendantsOf(master.pid), [other.pid])
  t.like(await master.execve({ args: ['./behave', 'locked', '/w/lock'] }), { exitCode: 0 })
  other.run.kill('SIGKILL')
  await other.run
})

test('each of many overlapping runs takes its own leftovers along', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const other = await hold(t, master)
  await Promise.all(
    Array.from({ length: 12 }, async (_, i) => {
      t.is((await master.execve({ args: ['./behave', 'leave', `/w/lock${i}`] })).status, 'ok')
      t.like(await master.execve({ args: ['./behave', 'locked', `/w/lock${i}`] }), { exitCode: 0 })
    }),
  )
  t.deepEqual(livingDescendantsOf(master.pid), [other.pid])
  other.run.kill('SIGKILL')
  await other.run
})

// While one is in the middle of a fork, everybody may be stopped and continued, and its child be born stopped.
test('whoever forks while the leftovers of others are ended goes on', async (t) => {
  const crowd = async (): Promise<void> => {
    const master = await createMaster(t)
    await install(master, 'behave')
    const other = await hold(t, master)
    for (let round = 0; round < 60; round++) {
      const leave = (_: unknown, i: number): Promise<unknown> =>
        master.execve({ args: ['./behave', 'leave', `/w/lock${i}`] })
      await within(Promise.all(Array.from({ length: 12 }, leave)), `round ${round}`)
    }
    other.run.kill('SIGKILL')
    await other.run
  }
  await Promise.all(Array.from({ length: 4 }, crowd))
})

test('processes that fork for ever end with their run, alone and beside another one', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const rlimits = [{ resource: 'nproc', soft: 400, hard: 400 }] as const
  t.is((await within(master.execve({ args: ['./behave', 'bomb', '4'], rlimits }), 'the bomb')).status, 'ok')
  t.deepEqual(livingDescendantsOf(master.pid), [])
  const other = await hold(t, master)
  for (let i = 0; i < 3; i++) {
    t.is((await within(master.execve({ args: ['./behave', 'bomb', '4'], rlimits }), 'the bomb')).status, 'ok')
    t.deepEqual(livingDescendantsOf(master.pid), [other.pid])
  }
  // Whatever was done to them, the other one goes on.
  t.true(other.run.kill('SIGTERM'))
  t.like(await other.run, { signal: 'SIGTERM' })
})

test('a neighbour that talks is not disturbed', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const talker = master.spawn('cat')
  talker.stdout.setEncoding('utf8')
  const answer = async (text: string): Promise<unknown> => {
    const answered = new Promise((resolve) => talker.stdout.once('data', resolve))
    talker.stdin.write(text)
    return await within(answered, 'an answer')
  }
  t.is(await answer('before'), 'before')
  await master.execve({ args: ['./behave', 'leave', '/w/lock'] })
  t.is(await answer('after'), 'after')
  talker.stdin.end()
  t.is((await talker).status, 'ok')
})
