// Everything about a container that is not its file system.
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import test from 'ava'
import { defaultMounts, defaultPath, Master, type MasterOptions } from '../index.js'
import { install } from './support/compile.js'
import { rejects } from './support/errors.js'
import { createMaster, masterOptions, mode } from './support/mode.js'
import { requires } from './support/requires.js'

const asRoot = requires('root', mode === 'root' || mode === 'degraded')
const unprivileged = requires('an unprivileged user', mode === 'rootless' || mode === 'rootless-ranges')

test('workDir is where programs begin and relative paths start', async (t) => {
  const master = await createMaster(t, { workDir: '/tmp' })
  await master.copyIn(Buffer.from('x'), 'sub/x')
  t.is((await master.run('pwd')).stdout, '/tmp\n')
  t.is((await master.run('cat', ['/tmp/sub/x'])).stdout, 'x')
  t.is(String(await master.copyOut('/tmp/sub/x')), 'x')
  t.is((await master.run('pwd', [], { cwd: 'sub' })).stdout, '/tmp/sub\n')
})

test('workDir may be a mount of one’s own, with parents that nobody made', async (t) => {
  const workDir = '/home/somebody/work'
  const master = await createMaster(t, { workDir, mounts: [...defaultMounts(), { type: 'tmpfs', target: workDir }] })
  t.is((await master.run('/bin/sh', ['-c', 'echo x > y; pwd; cat y'])).stdout, `${workDir}\nx\n`)
})

test('a workDir that nobody mounts is made in the read-only root', async (t) => {
  const master = await createMaster(t, { workDir: '/made/for/this' })
  t.is((await master.run('/bin/sh', ['-c', 'pwd; ls -A'])).stdout, '/made/for/this\n')
  await rejects(t, master.copyIn(Buffer.from('x'), 'x'), 'EROFS')
  await master.copyIn(Buffer.from('x'), '/w/x')
})

test('a workDir that cannot be made is an error that names it', async (t) => {
  const error = await rejects(t, Master.create(masterOptions({ workDir: '/usr/absent' })), 'EROFS')
  t.is(error.path, '/usr/absent')
})

test('hostname and domainName', async (t) => {
  const names = async (options: MasterOptions): Promise<string> => {
    const master = await createMaster(t, options)
    await install(master, 'report')
    return (await master.run('./report', ['uname'])).stdout
  }
  t.is(await names({}), 'hotcell hotcell')
  t.is(await names({ hostname: 'h'.repeat(64), domainName: 'ü.example' }), `${'h'.repeat(64)} ü.example`)
})

test('env is what runs have that bring none', async (t) => {
  const env = async (options: MasterOptions): Promise<string[]> => {
    const master = await createMaster(t, options)
    await install(master, 'report')
    return (await master.run('./report', ['env'])).stdout.split('\0').slice(0, -1)
  }
  t.deepEqual(await env({}), [defaultPath])
  t.is(defaultPath, 'PATH=/usr/local/bin:/usr/bin:/bin')
  t.deepEqual(await env({ env: ['A=1', 'B==2', 'A=3'] }), ['A=1', 'B==2', 'A=3'])
  t.deepEqual(await env({ env: { A: '1', B: undefined, C: '' } }), ['A=1', 'C='])
  t.deepEqual(await env({ env: [] }), [])
})

test('programs are who user says', async (t) => {
  const script = 'id -u; id -g; id -G; stat -c %u:%g . ; : > mine; stat -c %u:%g mine'
  const expected = (uid: number, gid: number): string => `${uid}\n${gid}\n${gid}\n${uid}:${gid}\n${uid}:${gid}\n`
  if (mode !== 'degraded') {
    const byDefault = await createMaster(t)
    t.is((await byDefault.run('/bin/sh', ['-c', script])).stdout, expected(1000, 1000))
    for (const user of [
      { uid: 0, gid: 0 },
      { uid: 4711, gid: 815 },
    ]) {
      const master = await createMaster(t, { user })
      t.is((await master.run('/bin/sh', ['-c', script])).stdout, expected(user.uid, user.gid))
    }
  } else {
    const master = await createMaster(t)
    const { stdout } = await master.run('/bin/sh', ['-c', script])
    const uid = Number(stdout.split('\n')[0])
    t.true(uid > 0)
    t.is(stdout, expected(uid, uid))
  }
})

asRoot('userNamespace: false works as root', async (t) => {
  const master = await createMaster(t, { userNamespace: false })
  const { stdout } = await master.run('cat', ['/proc/self/uid_map'])
  // The host's own map: all ids.
  t.deepEqual(stdout.trim().split(/\s+/), ['0', '0', '4294967295'])
  t.not((await master.run('id', ['-u'])).stdout, '0\n')
})

unprivileged('userNamespace: false is EPERM for an unprivileged user, with the way out', async (t) => {
  const error = await rejects(t, Master.create({ userNamespace: false }), 'EPERM')
  t.regex(error.message, /root/)
  await (await createMaster(t)).ping()
})

test('userNamespace: true makes one', async (t) => {
  const master = await createMaster(t, { userNamespace: true })
  const { stdout } = await master.run('cat', ['/proc/self/uid_map'])
  for (const line of stdout.trim().split('\n')) t.not(line.trim().split(/\s+/)[1], '0', 'no id of the host’s root')
})

test('network none: loopback works, and that is all there is', async (t) => {
  const master = await createMaster(t, { network: 'none' })
  await install(master, 'network')
  t.like(await master.run('./network', ['loopback']), { status: 'ok', stdout: 'hello from inside' })
  const { stdout } = await master.run('cat', ['/proc/net/dev'])
  const interfaces = stdout.split('\n').filter((line) => line.includes(':'))
  t.true(interfaces.some((line) => line.trim().startsWith('lo:')))
  // Tunnels that the kernel gives to every namespace have no link; nothing of the host's own is there.
  t.false(interfaces.some((line) => /^\s*(eth|en|wl|docker|br)/.test(line)))
})

test('network host reaches the host’s servers', async (t) => {
  const server = createServer((socket) => socket.end('hello from the host'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const master = await createMaster(t, { network: 'host' })
  await install(master, 'network')
  t.like(await master.run('./network', ['connect', String(port)]), { status: 'ok', stdout: 'hello from the host' })
})

test('proc: masked shows everything but what is masked, and nobody else’s processes', async (t) => {
  const master = await createMaster(t)
  const { stdout } = await master.run('/bin/sh', [
    '-c',
    'head -c 5 /proc/meminfo; echo; [ -e /proc/self/status ] && echo self',
  ])
  t.is(stdout, 'MemTo\nself\n')
  t.regex(
    (await master.run('/bin/sh', ['-c', 'echo 1 > /proc/sys/kernel/hostname'])).stderr,
    /read-only|permission denied/i,
  )
})

test('proc: pid has processes only', async (t) => {
  const master = await createMaster(t, { proc: 'pid' })
  const { stdout } = await master.run('/bin/sh', [
    '-c',
    '[ -e /proc/meminfo ] || echo no meminfo; [ -e /proc/self/status ] && echo self',
  ])
  t.is(stdout, 'no meminfo\nself\n')
})

test('proc: none has no /proc, and containers work all the same', async (t) => {
  const master = await createMaster(t, { proc: 'none' })
  t.is((await master.run('/bin/sh', ['-c', 'echo /proc/*'])).stdout, '/proc/*\n')
  await install(master, 'behave')
  // Two runs at once, one of which leaves something behind.
  const other = master.spawn('./behave', ['hold'])
  await other.started
  t.is((await master.execve({ args: ['./behave', 'leave', '/w/lock'] })).status, 'ok')
  t.like(await master.execve({ args: ['./behave', 'locked', '/w/lock'] }), { exitCode: 0 })
  other.kill('SIGKILL')
  t.like(await other, { signal: 'SIGKILL' })
})

test('limits of the container are those of its runs', async (t) => {
  const master = await createMaster(t, { limits: { outputBytes: 10 } })
  await install(master, 'behave')
  t.like(await master.run('./behave', ['write', '10']), { status: 'ok' })
  t.like(await master.run('./behave', ['write', '11']), { status: 'output-limit', limit: 'stdout' })
  t.like(await master.run('./behave', ['write', '11'], { limits: { outputBytes: 11 } }), { status: 'ok' })
  t.like(await master.spawn('./behave', ['write', '11']), { status: 'output-limit', limit: 'stdout' })
})

test('an aborted signal makes no container', async (t) => {
  const reason = new Error('no more')
  await t.throwsAsync(Master.create(masterOptions({ signal: AbortSignal.abort(reason) })), {
    name: 'AbortError',
    code: 'ABORT_ERR',
  })
})

test('what seccomp and cgroup take', async (t) => {
  const master = await createMaster(t, { seccomp: 'off', cgroup: false })
  await master.ping()
  t.pass()
})
