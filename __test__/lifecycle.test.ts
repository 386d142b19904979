// Making and ending a container.
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import test from 'ava'
import { HotcellError, Master } from '../index.js'
import { install } from './support/compile.js'
import { descendantsOf, isAlive, processStatus } from './support/counters.js'
import { rejects } from './support/errors.js'
import { createMaster, masterOptions, mode } from './support/mode.js'
import { runNode } from './support/node.js'
import { onPath, requires } from './support/requires.js'
import { within } from './support/waiting.js'

test('a container is there with no options at all', async (t) => {
  const master = await Master.create()
  t.true(Number.isInteger(master.pid) && master.pid > 1)
  t.true(isAlive(master.pid))
  t.true(descendantsOf(process.pid).includes(master.pid))
  t.is((await master.execve({ args: ['true'] })).status, 'ok')
  await master.destroy()
  t.false(isAlive(master.pid))
})

const embedder = `
  import { Master } from './index.js'
  const master = await Master.create()
  await master.run('sh', ['-c', 'echo > x'])
  await master.reset()
  const { status, stdout } = await master.run('sh', ['-c', 'id -u; ls; stat -c %u /w'])
  console.log(status + ' ' + stdout.trim().split('\\n').join(' '))
  await master.destroy()
`

/** Roots of less than a machine, as containers have them. */
const roots: [name: string, command: string[]][] = [
  ['of a user namespace with a single id', ['unshare', '--user', '--map-root-user']],
  ['without CAP_SYS_ADMIN', ['setpriv', '--bounding-set', '-sys_admin', '--inh-caps', '-sys_admin']],
]
for (const [name, [command = '', ...args]] of roots) {
  const applies = command === 'unshare' || mode === 'root'
  if (mode === 'degraded' || !applies) continue
  requires(command, onPath(command))(`inside of a root ${name}`, async (t) => {
    const { stdout, stderr } = await runNode(embedder, { through: [command, ...args] })
    t.is(stdout, 'ok 1000 1000\n', stderr)
  })
}

test('a ping is answered, any number of times and all at once', async (t) => {
  const master = await createMaster(t)
  t.is(await master.ping(), undefined)
  await Promise.all(Array.from({ length: 500 }, () => master.ping()))
  t.pass()
})

test('a ping is answered while a program runs', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const run = master.spawn('./behave', ['hold'])
  await run.started
  await master.ping()
  t.true(run.kill('SIGKILL'))
  t.like(await run, { status: 'signaled', signal: 'SIGKILL' })
})

test('destroy ends init and every program, and settles closed', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const run = master.spawn('./behave', ['hold'])
  const pid = await run.started
  const failed = rejects(t, run.result, 'ERR_HOTCELL_CLOSED')
  t.true(isAlive(pid))
  await master.destroy()
  t.false(isAlive(pid))
  t.false(isAlive(master.pid))
  t.is(await within(master.closed, 'closed'), undefined)
  await failed
})

test('destroy may be called again and again', async (t) => {
  const master = await createMaster(t)
  await Promise.all([master.destroy(), master.destroy(), master[Symbol.asyncDispose]()])
  t.is(await master.destroy(), undefined)
})

test('await using destroys the container', async (t) => {
  let closed: Promise<void>
  let pid: number
  {
    await using master = await Master.create(masterOptions())
    ;({ closed, pid } = master)
    await master.ping()
    t.true(isAlive(pid))
  }
  t.false(isAlive(pid))
  await within(closed, 'closed')
})

test('await using destroys the container when the block throws', async (t) => {
  let pid = 0
  await t.throwsAsync(
    async () => {
      await using master = await Master.create(masterOptions())
      ;({ pid } = master)
      throw new Error('from the block')
    },
    { message: 'from the block' },
  )
  t.false(isAlive(pid))
})

test('closed is pending while the container lives', async (t) => {
  const master = await createMaster(t)
  let closed = false
  const watched = master.closed.then(() => {
    closed = true
  })
  await master.ping()
  t.false(closed)
  await master.destroy()
  await watched
  t.true(closed)
})

test('closed settles, and everything in flight rejects, when init is killed', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const run = master.spawn('./behave', ['hold'])
  const pid = await run.started
  const lost = [
    rejects(t, run.result, 'ERR_HOTCELL_CONTAINER_LOST'),
    rejects(t, master.execve({ args: ['./behave', 'spin'] }), 'ERR_HOTCELL_CONTAINER_LOST'),
  ]
  process.kill(master.pid, 'SIGKILL')
  await within(master.closed, 'closed')
  t.false(isAlive(pid))
  const errors = await within(Promise.all(lost), 'the rejections')
  for (const error of errors) t.regex(error.message, /create another one/i)
  await rejects(t, master.ping(), 'ERR_HOTCELL_CONTAINER_LOST')
  await master.destroy()
})

test('every method of a destroyed container says that it is closed', async (t) => {
  const master = await createMaster(t)
  const file = await master.open('/w/kept', 'w+')
  await master.destroy()
  const calls: Record<string, () => PromiseLike<unknown>> = {
    ping: () => master.ping(),
    copyIn: () => master.copyIn(Buffer.from('x'), 'x'),
    copyOut: () => master.copyOut('x'),
    open: () => master.open('x'),
    symlink: () => master.symlink('x', 'y'),
    delete: () => master.delete('x'),
    reset: () => master.reset(),
    execve: () => master.execve({ args: ['true'] }),
    'execve with a syncFunc': () => master.execve({ args: ['true'], syncFunc: () => t.fail('it cannot have started') }),
    'execve with a signal': () => master.execve({ args: ['true'] }, { signal: new AbortController().signal }),
    spawn: () => master.spawn('true'),
    started: () => master.spawn('true').started,
    run: () => master.run('true'),
    'run with files': () => master.run('true', [], { files: { x: Buffer.from('x') } }),
  }
  for (const [name, call] of Object.entries(calls)) {
    const error = await within(rejects(t, call(), 'ERR_HOTCELL_CLOSED', name), name)
    t.true(error instanceof HotcellError, name)
  }
  // A descriptor is this process's own: it outlives the container that it came from.
  await file.writeFile('still here')
  t.is((await file.stat()).size, 10)
  await file.close()
})

test('what was asked for before destroy rejects or is done, and none hangs', async (t) => {
  const master = await createMaster(t)
  const asked = [
    master.ping(),
    master.copyIn(Buffer.alloc(100_000), 'x'),
    master.execve({ args: ['true'] }),
    master.run('echo', ['x']),
    master.reset(),
    master.delete('/w/y', { recursive: true }),
  ]
  const settled = Promise.allSettled(asked)
  await master.destroy()
  for (const outcome of await within(settled, 'what was asked')) {
    if (outcome.status === 'rejected') t.is((outcome.reason as HotcellError).code, 'ERR_HOTCELL_CLOSED')
  }
  t.pass()
})

test('many containers live side by side and see nothing of each other', async (t) => {
  const masters = await Promise.all(Array.from({ length: 16 }, () => createMaster(t)))
  t.is(new Set(masters.map(({ pid }) => pid)).size, 16)
  await Promise.all(masters.map((master, index) => master.copyIn(Buffer.from(String(index)), 'mine')))
  const contents = await Promise.all(masters.map((master) => master.copyOut('mine')))
  t.deepEqual(
    contents.map(String),
    masters.map((_, index) => String(index)),
  )
  await masters[3]?.destroy()
  await Promise.all(masters.filter((_, index) => index !== 3).map((master) => master.ping()))
})

test('each container has the pids, and none of the network, for itself', async (t) => {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const master = await createMaster(t)
  await install(master, 'network')
  const { port } = server.address() as AddressInfo
  // ECONNREFUSED: the loopback interface is up, and nobody listens there.
  t.like(await master.run('./network', ['connect', String(port)]), { exitCode: 111 })
  const { stdout } = await master.run('/bin/sh', ['-c', 'echo /proc/[0-9]*'])
  t.false(stdout.includes(`/proc/${process.pid} `))
})

test('which ids a program has on the host', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const run = master.spawn('./behave', ['hold'])
  const uid = Number(
    processStatus(await run.started)
      ?.get('Uid')
      ?.split('\t')[0],
  )
  if (mode === 'rootless') t.is(uid, Number(process.getuid?.()))
  else t.not(uid, Number(process.getuid?.()))
  t.not(uid, 0)
  run.kill('SIGKILL')
  await run
})
