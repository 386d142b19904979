// syncFunc: after fork, before execve.
import { readlinkSync } from 'node:fs'
import test from 'ava'
import { install } from './support/compile.js'
import { descendantsOf, isAlive, processStatus } from './support/counters.js'
import { aborts, rejects } from './support/errors.js'
import { createMaster } from './support/mode.js'
import { deferred, within } from './support/waiting.js'

test('gets the pid as the host sees it, of a process that waits and is who the program will be', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const hold = master.spawn('./behave', ['hold'])
  const uid = processStatus(await hold.started)?.get('Uid')
  let called = 0
  const result = await master.execve({
    args: ['./behave', 'exit', '3'],
    syncFunc: (pid) => {
      called++
      t.true(isAlive(pid))
      t.true(descendantsOf(master.pid).includes(pid))
      t.is(processStatus(pid)?.get('Uid'), uid)
      // Still init's image.
      let exe = ''
      try {
        exe = readlinkSync(`/proc/${pid}/exe`)
      } catch (error) {
        // Not dumpable, and we are not root.
        exe = (error as NodeJS.ErrnoException).code ?? ''
      }
      t.false(exe.endsWith('/behave'), exe)
    },
  })
  t.is(called, 1)
  t.like(result, { status: 'nonzero-exit', exitCode: 3 })
  t.true(result.setupTimeMs <= result.wallTimeMs)
  hold.kill('SIGKILL')
  await hold
})

test('the program waits for a promise', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const gate = deferred()
  const reached = deferred<number>()
  const run = master.execve({
    args: ['./behave', 'create', '/w/ran'],
    syncFunc: async (pid) => {
      reached.resolve(pid)
      await gate.promise
    },
  })
  const pid = await within(reached.promise, 'the sync point')
  // Others go on meanwhile.
  await master.ping()
  t.is((await master.execve({ args: ['true'] })).status, 'ok')
  t.is((await master.run('ls', ['-A'])).stdout, 'behave\n')
  t.true(isAlive(pid))
  gate.resolve()
  t.is((await run).status, 'ok')
  t.is((await master.run('ls', ['-A'])).stdout, 'behave\nran\n')
})

test('what it throws or rejects with is what execve rejects with, and nothing was executed', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const reasons: unknown[] = [new Error('refused'), new TypeError('wrong'), 'a string', undefined, 0]
  for (const reason of reasons) {
    for (const syncFunc of [
      () => {
        throw reason
      },
      async () => {
        await master.ping()
        throw reason
      },
    ]) {
      let pid = 0
      const outcome = await master
        .execve({
          args: ['./behave', 'create', '/w/ran'],
          syncFunc: (its) => {
            pid = its
            return syncFunc()
          },
        })
        .then(
          () => 'resolved',
          (error: unknown) => ({ error }),
        )
      t.deepEqual(outcome, { error: reason })
      t.false(isAlive(pid))
    }
  }
  t.is((await master.run('ls', ['-A'])).stdout, 'behave\n')
})

test('a program that cannot be executed fails after it', async (t) => {
  const master = await createMaster(t)
  let called = false
  const error = await rejects(
    t,
    master.execve({
      args: ['absent'],
      syncFunc: () => {
        called = true
      },
    }),
    'ENOENT',
  )
  t.true(called)
  t.is(error.syscall, 'execve')
})

test('it is not called when the run fails before', async (t) => {
  const master = await createMaster(t)
  const syncFunc = (): void => t.fail()
  await rejects(t, master.execve({ args: ['true'], cwd: '/absent', syncFunc }), 'ENOENT')
  await rejects(t, master.execve({ args: ['true'], fds: [999_999], syncFunc }), 'EBADF')
  t.is((await master.execve({ args: ['true'] })).status, 'ok')
})

test('an abort while it is pending kills the run, which was never executed', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const controller = new AbortController()
  const reached = deferred<number>()
  const run = master.execve(
    {
      args: ['./behave', 'create', '/w/ran'],
      syncFunc: (pid) => {
        reached.resolve(pid)
        return new Promise(() => undefined)
      },
    },
    { signal: controller.signal },
  )
  const aborted = aborts(t, run, 'enough')
  const pid = await within(reached.promise, 'the sync point')
  controller.abort('enough')
  await within(aborted, 'execve')
  t.false(isAlive(pid))
  t.is((await master.run('ls', ['-A'])).stdout, 'behave\n')
})

test('an abort from within it', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const controller = new AbortController()
  const { signal } = controller
  const param = { args: ['./behave', 'create', '/w/ran'], syncFunc: () => controller.abort('from within') } as const
  await aborts(t, within(master.execve(param, { signal }), 'execve'), 'from within')
  t.is((await master.run('ls', ['-A'])).stdout, 'behave\n')
})

test('destroy and the loss of the container while it is pending', async (t) => {
  for (const end of ['destroy', 'loss'] as const) {
    const master = await createMaster(t)
    const reached = deferred()
    const run = master.execve({
      args: ['true'],
      syncFunc: () => {
        reached.resolve()
        return new Promise(() => undefined)
      },
    })
    const code = end === 'destroy' ? 'ERR_HOTCELL_CLOSED' : 'ERR_HOTCELL_CONTAINER_LOST'
    const rejected = rejects(t, run, code)
    await within(reached.promise, 'the sync point')
    if (end === 'destroy') await master.destroy()
    else process.kill(master.pid, 'SIGKILL')
    await within(rejected, end)
  }
})

test('a process that is killed at the sync point is reported as that', async (t) => {
  const master = await createMaster(t)
  const result = await within(
    master.execve({
      args: ['true'],
      syncFunc: async (pid) => {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // Somebody else's process, where we are not root: then by way of the container.
          await master.reset()
        }
      },
    }),
    'execve',
  )
  t.like(result, { status: 'signaled', signal: 'SIGKILL' })
})

test('many sync points at once, each with a pid of its own', async (t) => {
  const master = await createMaster(t)
  const pids = new Set<number>()
  const all = deferred()
  const results = await within(
    Promise.all(
      Array.from({ length: 32 }, () =>
        master.execve({
          args: ['true'],
          syncFunc: async (pid) => {
            pids.add(pid)
            if (pids.size === 32) all.resolve()
            await all.promise
          },
        }),
      ),
    ),
    'all of them',
  )
  t.true(results.every(({ status }) => status === 'ok'))
})
