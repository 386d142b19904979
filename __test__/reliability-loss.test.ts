// Losing what a container hangs on: init, the launcher, the host process, descriptors. Every call settles, with an error that says
// what happened; nothing stays behind; and the next container can be made. Only processes that these tests started are signalled.
import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as timeout } from 'node:timers/promises'
import test from 'ava'
import { Master, type HotcellError } from '../index.js'
import { install } from './support/compile.js'
import { childrenOf, descendantsOf, isAlive, openFds } from './support/counters.js'
import { rejects } from './support/errors.js'
import { createMaster, masterOptions, mode } from './support/mode.js'
import { root, startNode } from './support/node.js'
import { until, within } from './support/waiting.js'

const userNamespace = mode !== 'degraded'

/** The process that makes this process's containers. */
function launcher(of: number = process.pid): number {
  const found = childrenOf(of).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('hotcell-launcher')
    } catch {
      return false
    }
  })
  if (found.length !== 1) throw new Error(`${found.length} launchers`)
  return found[0] as number
}

test.serial('init killed at a hundred moments of a run', async (t) => {
  await (await Master.create(masterOptions())).destroy()
  const fds = openFds().size
  const verbs: ((master: Master) => Promise<unknown>)[] = [
    (master) => master.run('sh', ['-c', 'echo x; setsid sleep 100 & sleep 100']),
    (master) => master.execve({ args: ['sleep', '100'] }),
    (master) => master.spawn('sleep', ['100']).result,
    (master) => master.execve({ args: ['sleep', '100'], syncFunc: () => timeout(3) }),
    async (master) => {
      for (;;) await master.execve({ args: ['true'] })
    },
    async (master) => {
      for (;;) await master.reset()
    },
    async (master) => {
      for (;;) await master.copyIn(Buffer.alloc(10_000), 'a/b/c')
    },
  ]
  let slowest = 0
  for (let i = 0; i < 25; i++) {
    await Promise.all(
      Array.from({ length: 4 }, async (_, lane) => {
        const master = await Master.create(masterOptions())
        const verb = verbs[(i * 4 + lane) % verbs.length] as (typeof verbs)[number]
        const failing = rejects(t, verb(master), 'ERR_HOTCELL_CONTAINER_LOST')
        await timeout(Math.random() * 6)
        const pids = descendantsOf(master.pid)
        const began = performance.now()
        process.kill(master.pid, 'SIGKILL')
        await within(Promise.all([failing, master.closed]), 'the end', 5_000)
        slowest = Math.max(slowest, performance.now() - began)
        t.deepEqual(pids.filter(isAlive), [])
        await rejects(t, master.ping(), 'ERR_HOTCELL_CONTAINER_LOST')
        await within(master.destroy(), 'destroy of what is gone', 1_000)
      }),
    )
  }
  t.true(slowest < 2_000, `${slowest} ms`)
  await until(() => openFds().size <= fds, 'the descriptors are closed', 5_000)
  const next = await createMaster(t)
  t.is((await next.run('echo', ['next'])).stdout, 'next\n')
})

test.serial('init that does not answer', async (t) => {
  const stopped = async (): Promise<Master> => {
    const master = await createMaster(t)
    await install(master, 'behave')
    return master
  }
  const masters = await Promise.all([stopped(), stopped(), stopped(), stopped()])
  const [pinged, cancelled, destroyed, continued] = masters as [Master, Master, Master, Master]
  const controller = new AbortController()
  const run = cancelled.spawn('./behave', ['hold'], { signal: controller.signal })
  const pid = await run.started
  const running = continued.execve({ args: ['sleep', '0.1'] })
  for (const master of masters) process.kill(master.pid, 'SIGSTOP')
  const began = performance.now()
  controller.abort()
  setTimeout(() => process.kill(continued.pid, 'SIGCONT'), 1_000)
  await within(destroyed.destroy(), 'destroy', 2_000)
  t.false(isAlive(destroyed.pid))
  await Promise.all([
    // A container that cannot be cancelled is lost; what of it was in flight says so.
    within(run.result, 'the cancelled run', 13_000).then(
      () => t.fail('it ended'),
      (error: Error & { code?: string }) =>
        t.true(error.name === 'AbortError' || error.code === 'ERR_HOTCELL_TIMEOUT', String(error)),
    ),
    rejects(t, within(pinged.ping(), 'ping', 13_000), 'ERR_HOTCELL_TIMEOUT'),
    within(Promise.all([pinged.closed, cancelled.closed]), 'closed', 14_000),
    within(continued.ping(), 'the ping of one that goes on', 5_000),
    running.then(({ status }) => t.is(status, 'ok')),
  ])
  t.true(performance.now() - began < 14_000)
  t.false(isAlive(pid) || isAlive(cancelled.pid) || isAlive(pinged.pid))
  await continued.ping()
})

test.serial('the launcher killed, with containers and while they are made', async (t) => {
  const masters = await Promise.all(Array.from({ length: 5 }, () => Master.create(masterOptions())))
  const runs = masters.map((master) =>
    rejects(t, master.execve({ args: ['sleep', '100'] }), 'ERR_HOTCELL_CONTAINER_LOST'),
  )
  await Promise.all(masters.map((master) => master.ping()))
  const first = launcher()
  const pids = masters.flatMap(({ pid }) => [pid, ...descendantsOf(pid)])
  process.kill(first, 'SIGKILL')
  await within(Promise.all([...runs, ...masters.map(({ closed }) => closed)]), 'the containers are lost', 5_000)
  t.deepEqual(pids.filter(isAlive), [])

  for (let i = 0; i < 10; i++) {
    const creating = Array.from({ length: 3 }, () => Master.create(masterOptions()))
    await until(() => childrenOf(process.pid).length > 0, 'there is a launcher')
    await timeout(Math.random() * 3)
    process.kill(launcher(), 'SIGKILL')
    for (const end of await within(Promise.allSettled(creating), 'the creations', 5_000)) {
      if (end.status === 'fulfilled') await within(end.value.closed, 'closed', 5_000)
      else t.regex((end.reason as HotcellError).code, /^ERR_HOTCELL_(LAUNCHER|CONTAINER_LOST)$/)
    }
    const next = await within(Master.create(masterOptions()), 'the next container', 5_000)
    t.is((await next.run('echo', ['next'])).stdout, 'next\n')
    await next.destroy()
  }
  t.false(isAlive(first))
})

test.serial('the host process killed at any moment takes everything along', async (t) => {
  const script = `
    import { Master } from './index.js'
    const userNamespace = ${userNamespace}
    const masters = await Promise.all([1, 2, 3].map(() => Master.create({ userNamespace })))
    for (const master of masters) {
      master.run('sh', ['-c', 'setsid sleep 1000 & trap "" TERM HUP INT; echo; while :; do sleep 1000; done']).catch(() => undefined)
      void (async () => { for (;;) await master.execve({ args: ['true'] }) })().catch(() => undefined)
    }
    void (async () => { for (;;) await (await Master.create({ userNamespace })).destroy() })().catch(() => undefined)
    for (const master of masters) await master.ping()
    console.log('up')
  `
  await Promise.all(
    Array.from({ length: 6 }, async (_, i) => {
      const node = startNode(script)
      t.is(await within(node.line(), 'the child'), 'up')
      await timeout(i * 7)
      const pid = node.process.pid as number
      const all = descendantsOf(pid)
      t.true(all.length >= 4)
      const began = performance.now()
      node.process.kill('SIGKILL')
      await until(() => !all.some(isAlive), 'all its processes are dead', 5_000)
      t.true(performance.now() - began < 2_000)
      await node.ended
      // One that was being made just then had no number yet: nobody is left whose launcher is gone.
      t.deepEqual(all.flatMap(descendantsOf), [])
    }),
  )
})

test.serial('a host process that forgets its containers ends, and they with it', async (t) => {
  for (const end of ['', 'process.exit(0)', 'process.abort()', 'setTimeout(() => { throw new Error("uncaught") })']) {
    const node = startNode(`
      import { Master } from './index.js'
      const master = await Master.create({ userNamespace: ${userNamespace} })
      const run = await master.run('echo', ['x'])
      console.log(master.pid)
      ${end === '' ? '' : `master.execve({ args: ['sleep', '100'] }).catch(() => undefined); await master.ping(); ${end}`}
    `)
    const pid = Number(await within(node.line(), 'the child'))
    t.true(pid > 1)
    await within(node.ended, `a process that ends by '${end}'`, 10_000)
    await until(() => !isAlive(pid), 'its container is gone', 5_000)
  }
})

/** A host process in a process group of its own, as a shell starts one. */
function inOwnGroup(
  script: string,
  shell = 'exec "$@"',
): { pid: number; lines: AsyncIterator<string>; ended: Promise<number | null> } {
  const node = [process.execPath, '--import=@oxc-node/core/register', '--input-type=module', '--eval', script]
  const child = spawn('bash', ['-c', shell, 'bash', ...node], {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return {
    pid: child.pid as number,
    lines: createInterface({ input: child.stdout })[Symbol.asyncIterator](),
    ended: new Promise((resolve) => child.on('close', resolve)),
  }
}

test.serial('an interrupt from the terminal is the host’s to handle', async (t) => {
  const child = inOwnGroup(`
    import { Master } from './index.js'
    const interrupted = new Promise((resolve) => process.on('SIGINT', resolve))
    const stopped = new Promise((resolve) => process.on('SIGTERM', resolve))
    process.on('SIGHUP', () => undefined)
    const master = await Master.create({ userNamespace: ${userNamespace} })
    const run = master.spawn('sh', ['-c', 'echo started; sleep 0.3; echo done'])
    await run.started
    console.log('up')
    await Promise.all([interrupted, stopped])
    const { stdout } = await run
    await master.ping()
    console.log(stdout.trim().split('\\n').join())
    await master.destroy()
  `)
  t.is((await within(child.lines.next(), 'the child')).value, 'up')
  // The whole group, as the terminal does it for Ctrl-C, or a service manager for its end.
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.kill(-child.pid, signal)
  t.is((await within(child.lines.next(), 'the result')).value, 'started,done')
  t.is(await within(child.ended, 'its end'), 0)
})

test.serial('a host with few descriptors', async (t) => {
  const child = inOwnGroup(
    `
    import { Master } from './index.js'
    const master = await Master.create({ userNamespace: ${userNamespace} })
    console.log((await master.run('echo', ['hello'])).stdout.trim())
    await master.destroy()
  `,
    'ulimit -n 64; exec "$@"',
  )
  t.is((await within(child.lines.next(), 'the child')).value, 'hello')
  t.is(await within(child.ended, 'its end'), 0)
})

test.serial('a host whose descriptors are used up, and free again', async (t) => {
  const child = inOwnGroup(
    `
    import { closeSync, openSync } from 'node:fs'
    import { HotcellError, Master } from './index.js'
    const userNamespace = ${userNamespace}
    const bystander = await Master.create({ userNamespace })
    const master = await Master.create({ userNamespace })
    await master.copyIn(Buffer.from('content'), 'file')
    await master.run('true', [], { files: { x: Buffer.from('x') }, collect: ['x'] })
    let held = []
    const takeAll = (but) => {
      try { for (;;) held.push(openSync('/dev/null')) } catch {}
      for (let i = 0; i < but; i++) closeSync(held.pop())
    }
    const free = () => { for (const fd of held) closeSync(fd); held = [] }
    const attempt = async (name, call) => {
      try { const result = await call(); await result?.[Symbol.asyncDispose]?.(); return name + ' ok' }
      catch (error) { return name + ' ' + (error instanceof HotcellError ? error.code : error.stack) }
    }
    const verbs = {
      open: () => master.open('file', 'r'),
      copyOut: () => master.copyOut('file'),
      copyIn: () => master.copyIn(Buffer.from('x'), 'other'),
      run: () => master.run('echo', ['x'], { input: 'y' }),
      spawn: () => master.spawn('cat').result,
      create: () => Master.create({ userNamespace }),
      execve: () => master.execve({ args: ['true', 'x'.repeat(100000)] }),
    }
    for (let but = 0; but < 7; but++) {
      for (const [name, call] of Object.entries(verbs)) {
        takeAll(but)
        const made = attempt(name, call)
        // Whatever it has not taken yet is taken by somebody else.
        takeAll(0)
        const result = await made
        free()
        console.log(but + ' ' + result)
        await bystander.ping()
        await master.ping()
        if ((await master.run('echo', ['next'])).stdout !== 'next\\n') console.log('broken')
      }
    }
    await Promise.all([master.destroy(), bystander.destroy()])
  `,
    'ulimit -n 200; exec "$@"',
  )
  const results: string[] = []
  for (;;) {
    const { value, done } = await within(child.lines.next(), 'the child')
    if (done === true) break
    results.push(value as string)
  }
  t.is(await within(child.ended, 'its end'), 0, results.join('\n'))
  t.deepEqual(
    results.filter((line) => !/^\d \w+ (ok|EMFILE)$/.test(line)),
    [],
  )
  t.is(results.length, 49)
  t.true(results.some((line) => line.endsWith('EMFILE')))
})

test.serial('an event loop that stands still for seconds', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const run = master.run('sh', ['-c', 'head -c 1000000 /dev/zero; sleep 0.1'])
  const pings = Array.from({ length: 50 }, () => master.ping())
  const aborted = new AbortController()
  const cancelled = master
    .execve({ args: ['./behave', 'hold'] }, { signal: aborted.signal })
    .catch((error: Error) => error.name)
  aborted.abort()
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_000)
  await within(Promise.all(pings), 'the pings', 2_000)
  t.is((await within(run, 'the run', 2_000)).stdout.length, 1_000_000)
  t.is(await within(cancelled, 'the cancelled run', 2_000), 'AbortError')
})

test.serial('a descriptor that is closed too early, or is none', async (t) => {
  const master = await createMaster(t)
  const fd = openSync('/dev/null', 'r')
  closeSync(fd)
  await t.throwsAsync(master.execve({ args: ['true'], fds: [fd] }), { code: 'EBADF' })
  await t.throwsAsync(master.execve({ args: ['true'], execFile: fd }), { code: 'EBADF' })
  // Closed right after the call: it has been sent by then.
  const again = openSync('/dev/null', 'r')
  const running = master.execve({ args: ['true'], fds: [again, again, again] })
  closeSync(again)
  t.is((await running).status, 'ok')
  t.is((await master.run('echo', ['next'])).stdout, 'next\n')
})
