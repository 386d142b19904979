// Ways out of a container: what a hostile program tries, and what it must see. Seccomp is not part of this version, so what
// only a filter can refuse (ptrace of its own children, exotic sockets, keyctl) is not claimed here.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getSystemErrorName } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { defaultMaskedPaths, defaultMounts, type Master } from '../index.js'
import { compile, install } from './support/compile.js'
import { processStatus } from './support/counters.js'
import { createMaster, mode } from './support/mode.js'
import { requires } from './support/requires.js'

const OK = 'OK'

/** What `escape` and `intrude` say: the attempt, and the name of the errno (or OK). */
function attempts(stdout: string): Map<string, string> {
  const lines = stdout.trimEnd().split('\n')
  return new Map(
    lines.map((line): [string, string] => {
      const space = line.lastIndexOf(' ')
      const errno = Number(line.slice(space + 1))
      return [line.slice(0, space), errno === 0 ? OK : getSystemErrorName(-errno)]
    }),
  )
}

async function escape(t: ExecutionContext, master: Master, ...args: string[]): Promise<Map<string, string>> {
  await install(master, 'escape', '/tmp/escape')
  const { status, stdout, stderr } = await master.run('/tmp/escape', args)
  t.is(status, 'ok', stderr)
  return attempts(stdout)
}

/** That each attempt failed, and for one of these reasons. */
function refused(t: ExecutionContext, attempted: Map<string, string>, reasons: string[]): void {
  t.true(attempted.size > 0)
  const others = [...attempted].filter(([, result]) => !reasons.includes(result))
  t.deepEqual(others, [])
}

/** That the container serves the next program. */
async function stillWorks(t: ExecutionContext, master: Master): Promise<void> {
  await master.ping()
  t.is((await master.run('echo', ['next'])).stdout, 'next\n')
}

function temporaryFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'hotcell-security-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex')

test('the init image cannot be opened, read or overwritten (CVE-2019-5736)', async (t) => {
  const master = await createMaster(t)
  // The host's own view of the same file; only who may trace the process may look.
  const image = mode === 'root' || mode === 'degraded' ? `/proc/${master.pid}/exe` : undefined
  const before = image === undefined ? '' : sha256(image)
  for (const how of ['r', 'w']) {
    refused(t, await escape(t, master, 'open', how, '/proc/1/exe', '/proc/1/mem', '/proc/1/root/bin/sh'), [
      'ENOENT',
      'EACCES',
      'EPERM',
    ])
  }
  // A script whose interpreter is whatever executes it: that is the image once more, with the rights of a program, and it
  // does nothing without its proper name.
  await master.copyIn(Buffer.from('#!/proc/self/exe\n'), 'script', { mode: 0o755 })
  t.like(await master.execve({ args: ['./script'] }), { status: 'nonzero-exit', exitCode: 2 })
  const busy = await master.run('sh', [
    '-c',
    'for i in 1 2 3 4 5 6 7 8 9 10; do for p in /proc/[0-9]*/exe; do true >$p; done; done 2>/dev/null; echo tried',
  ])
  t.is(busy.stdout, 'tried\n')
  if (image !== undefined) {
    t.is(sha256(image), before)
    t.regex(readlinkSync(image), /memfd:hotcell-init/)
  }
  await stillWorks(t, master)
})

test('a program has the descriptors it was given and no other, and a working directory inside (CVE-2024-21626)', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  const numbers = (stdout: string): string[] =>
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ').slice(0, 2).join(' '))
  t.deepEqual(numbers((await master.run('./report', ['fds'])).stdout), ['0 character', '1 fifo', '2 fifo'])
  const { stdout } = await master.run('sh', ['-c', 'ls -l /proc/self/fd; readlink /proc/self/cwd'])
  t.notRegex(stdout, /socket:|anon_inode|memfd|\(unreachable\)/)
  t.is(stdout.trimEnd().split('\n').at(-1), '/w')
})

for (const proc of ['masked', 'pid', 'none'] as const) {
  test(`/proc and /sys hold nothing that can be written, nor the kernel's secrets (proc: '${proc}')`, async (t) => {
    const master = await createMaster(t, { proc })
    const knobs = [
      '/proc/sys/kernel/core_pattern',
      '/proc/sys/kernel/modprobe',
      '/proc/sys/kernel/hotplug',
      '/proc/sys/kernel/randomize_va_space',
      '/proc/sys/kernel/hostname',
      '/proc/sys/kernel/ns_last_pid',
      '/proc/sys/kernel/keys/maxkeys',
      '/proc/sys/kernel/shmmax',
      '/proc/sys/kernel/unprivileged_userns_clone',
      '/proc/sys/fs/binfmt_misc/register',
      '/proc/sys/fs/suid_dumpable',
      '/proc/sys/fs/protected_symlinks',
      '/proc/sys/fs/mqueue/queues_max',
      '/proc/sys/net/ipv4/ip_forward',
      '/proc/sys/net/core/bpf_jit_enable',
      '/proc/sys/user/max_user_namespaces',
      '/proc/sys/vm/drop_caches',
      '/proc/sys/vm/overcommit_memory',
      '/proc/sys/vm/panic_on_oom',
      '/proc/sysrq-trigger',
      '/proc/self/oom_score_adj',
      '/proc/self/uid_map',
      '/proc/self/gid_map',
      '/proc/self/setgroups',
      '/proc/self/loginuid',
      '/proc/self/attr/current',
      '/proc/self/coredump_filter',
      '/proc/irq/default_smp_affinity',
      '/proc/bus/pci/00/00.0',
      '/proc/mtrr',
      '/sys/kernel/uevent_helper',
      '/sys/kernel/mm/transparent_hugepage/enabled',
      '/sys/fs/cgroup/release_agent',
      '/sys/fs/cgroup/memory/release_agent',
      '/sys/fs/cgroup/cgroup.procs',
      '/sys/firmware/efi/vars',
      '/sys/class/net/lo/mtu',
      '/sys/power/state',
    ]
    refused(t, await escape(t, master, 'open', 'w', ...knobs), ['EROFS', 'ENOENT', 'EACCES', 'EPERM'])
    const secrets = [
      '/proc/kcore',
      '/proc/kmsg',
      '/proc/keys',
      '/proc/timer_list',
      '/proc/sched_debug',
      '/proc/scsi',
      '/proc/acpi',
    ]
    const found = (
      await master.run('sh', [
        '-c',
        'for f; do [ -d $f ] && ls -A $f || head -c 100 $f; done 2>/dev/null',
        'sh',
        ...secrets,
      ])
    ).stdout
    t.is(found, '')
    // By mode bits, that is; whether it is so, only opening tells. What is masked is the null device.
    const writable = await master.run('find', [
      '/proc',
      '/sys',
      '-perm',
      '/222',
      '-type',
      'f',
      '-not',
      '-path',
      '/proc/[0-9]*',
    ])
    refused(
      t,
      await escape(
        t,
        master,
        'open',
        'w',
        '/proc/none',
        ...writable.stdout.split('\n').filter((path) => path !== '' && !defaultMaskedPaths.includes(path)),
      ),
      ['EROFS', 'ENOENT', 'EACCES', 'EPERM', 'EIO'],
    )
    await stillWorks(t, master)
  })
}

test('on the host a program is nobody: never root, and with several ids never init', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const run = master.spawn('./behave', ['hold'])
  const pid = await run.started
  const uids = (of: number): number[] => (processStatus(of)?.get('Uid') ?? '').split('\t').map(Number)
  const gids = (of: number): number[] => (processStatus(of)?.get('Gid') ?? '').split('\t').map(Number)
  const program = new Set([...uids(pid), ...gids(pid)])
  t.false(program.has(0))
  t.is(new Set(uids(pid)).size, 1)
  if (mode === 'rootless') {
    t.deepEqual(
      uids(pid),
      Array.from({ length: 4 }, () => process.getuid?.()),
    )
  } else {
    t.true(uids(pid).every((uid) => uid >= 100_000))
    t.false(
      uids(master.pid)
        .slice(0, 3)
        .includes(uids(pid)[0] as number),
    )
    t.false(uids(master.pid).includes(0))
    t.is(processStatus(pid)?.get('Groups'), '')
  }
  run.kill('SIGKILL')
  await run
})

test('two containers share no id on the host', async (t) => {
  if (mode === 'rootless') return t.pass('one id is all there is')
  const pids = await Promise.all(
    [await createMaster(t), await createMaster(t)].map(async (master) => {
      await install(master, 'behave')
      return [master.pid, await master.spawn('./behave', ['hold']).started]
    }),
  )
  const uids = pids.flat().map((pid) => processStatus(pid)?.get('Uid')?.split('\t')[0])
  t.is(new Set(uids).size, 4)
  return undefined
})

test('a program has no capability, cannot get one, and none comes with a file', async (t) => {
  const master = await createMaster(t)
  const { stdout } = await master.run('cat', ['/proc/self/status'])
  const status = new Map(stdout.split('\n').map((line) => line.split(/:\s+/, 2) as [string, string]))
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) t.is(status.get(set), '0000000000000000', set)
  t.is(status.get('NoNewPrivs'), '1')
  // Whatever the kernel makes of it first: the attempt is refused.
  const attempted = await escape(t, master, 'privileges')
  t.deepEqual(
    [...attempted].filter(([, result]) => result === OK),
    [],
  )
  const reasons = new Set(attempted.values())
  for (const reason of reasons) {
    t.true(
      ['EPERM', 'EACCES', 'EINVAL', 'ENOENT', 'ENODEV', 'EBADF', 'ENOTDIR', 'ESRCH', 'ENOSYS', 'EROFS'].includes(
        reason,
      ),
      reason,
    )
  }
  await stillWorks(t, master)
})

requires('root', process.geteuid?.() === 0)('a set-user-ID program of root is executed as anybody', async (t) => {
  const folder = temporaryFolder(t)
  copyFileSync(await compile('escape'), join(folder, 'escape'))
  chmodSync(join(folder, 'escape'), 0o6755)
  t.true((statSync(join(folder, 'escape')).mode & 0o6000) === 0o6000 && statSync(join(folder, 'escape')).uid === 0)
  for (const readOnly of [true, false]) {
    const master = await createMaster(t, {
      mounts: [...defaultMounts(), { source: folder, target: '/planted', readOnly }],
    })
    const { stdout } = await master.run('/planted/escape', ['setuid', '/planted/escape'])
    const plain = await master.run('id', ['-u'])
    const uid = plain.stdout.trim()
    t.is(stdout, `real ${uid}\neffective ${uid}\nsaved ${uid}\n`)
    t.not(uid, '0')
  }
})

test('every mount is nosuid and nodev, and what is the host’s is read-only', async (t) => {
  const master = await createMaster(t)
  const { stdout } = await master.run('cat', ['/proc/self/mountinfo'])
  const mounts = stdout
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [before, after] = line.split(' - ') as [string, string]
      const fields = before.split(' ')
      return {
        point: fields[4] as string,
        options: (fields[5] as string).split(','),
        propagation: fields.slice(6).join(' '),
        type: after.split(' ')[0] as string,
      }
    })
  const masked: readonly string[] = defaultMaskedPaths
  const writable = new Set([
    '/w',
    '/tmp',
    '/dev/shm',
    '/dev/null',
    '/dev/zero',
    '/dev/full',
    '/dev/random',
    '/dev/urandom',
    '/dev/tty',
  ])
  for (const { point, options, propagation } of mounts) {
    t.true(options.includes('nosuid'), point)
    // A masked file is the null device.
    t.true(options.includes('nodev') || point === '/dev' || point.startsWith('/dev/') || masked.includes(point), point)
    t.is(options.includes('ro'), !writable.has(point), point)
    t.is(propagation, '', `${point} is private`)
  }
  const points = mounts.map(({ point }) => point)
  const expected = ['/', '/dev', ...writable, '/proc', '/usr']
  t.deepEqual(
    expected.filter((point) => !points.includes(point)),
    [],
  )
  const known = new Set([...expected, '/lib', '/lib64', '/bin', '/etc/ld.so.cache', '/etc/alternatives'])
  t.deepEqual(
    points.filter(
      (point) =>
        !known.has(point) && !point.startsWith('/usr/') && !point.startsWith('/lib/') && !point.startsWith('/proc/'),
    ),
    [],
  )
  t.true(points.includes('/proc/timer_list') || !existsSync('/proc/timer_list'))
})

test('no new namespace can be made, and threads still can', async (t) => {
  const master = await createMaster(t)
  const attempted = await escape(t, master, 'namespaces')
  if (mode === 'degraded') {
    // Without a namespace of the container's own, its limit of user namespaces would be the host's. A filter is needed.
    for (const name of attempted.keys()) if (name.endsWith('-user')) attempted.delete(name)
    t.log('user namespaces are not claimed without a filter in this mode')
    // The first unshare has made this process root of its own.
    return t.pass()
  }
  // ENOSPC: max_user_namespaces is 0. ENOENT: this kernel has no such namespace. EUSERS: nested too deep.
  refused(t, attempted, ['EPERM', 'ENOSPC', 'EINVAL', 'ENOSYS', 'EUSERS'])
  await install(master, 'exhaust')
  const { stdout } = await master.run('./exhaust', ['threads'], { rlimits: [{ resource: 'nproc', soft: 8, hard: 8 }] })
  t.true(Number(stdout.split(' ')[0]) >= 1)
  return undefined
})

test('no device can be made, and /dev is the golden list', async (t) => {
  const master = await createMaster(t)
  const attempted = await escape(t, master, 'devices')
  refused(t, attempted, ['EPERM'])
  const { stdout } = await master.run('ls', ['-1A', '/dev'])
  t.deepEqual(stdout.trimEnd().split('\n'), [
    'fd',
    'full',
    'null',
    'ptmx',
    'pts',
    'random',
    'shm',
    'stderr',
    'stdin',
    'stdout',
    'tty',
    'urandom',
    'zero',
  ])
  t.is((await master.run('ls', ['-A', '/dev/pts'])).stdout, '')
  const absent = [
    '/dev/mem',
    '/dev/kmem',
    '/dev/kmsg',
    '/dev/ptmx',
    '/dev/console',
    '/dev/tty0',
    '/dev/fuse',
    '/dev/kvm',
    '/dev/net/tun',
    '/dev/vsock',
    '/dev/sda',
    '/dev/vda',
  ]
  refused(t, await escape(t, master, 'open', 'r', ...absent), ['ENOENT'])
})

test('the root, and what is the host’s, cannot be written', async (t) => {
  const master = await createMaster(t)
  const attempted = await escape(
    t,
    master,
    'open',
    'c',
    '/x',
    '/usr/x',
    '/bin/x',
    '/etc/x',
    '/dev/x',
    '/proc/x',
    '/usr/bin/env',
    '/dev/shm/../x',
  )
  refused(t, attempted, ['EROFS', 'EACCES', 'ENOENT', 'EPERM', 'ETXTBSY'])
  // And what was not mounted is not there.
  refused(
    t,
    await escape(
      t,
      master,
      'open',
      'r',
      '/etc/passwd',
      '/etc/shadow',
      '/root',
      '/home',
      '/sys',
      '/run',
      '/var',
      '/boot',
      '/mnt',
    ),
    ['ENOENT'],
  )
})

test('an abstract socket of the host cannot be reached', async (t) => {
  const name = `hotcell-test-${process.pid}-${mode}`
  const server = spawn(await compile('escape'), ['listen', name], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => server.stdin.end())
  t.is(String((await once(server.stdout, 'data'))[0]), 'listen 0\n')
  const master = await createMaster(t)
  t.is((await escape(t, master, 'connect', name)).get('connect'), 'ECONNREFUSED')
  const shared = await createMaster(t, { network: 'host' })
  // That the test would see it: in the host's network namespace it answers.
  t.is((await escape(t, shared, 'connect', name)).get('connect'), OK)
})

test('there is no terminal to type into (CVE-2017-5226)', async (t) => {
  const master = await createMaster(t)
  const attempted = await escape(t, master, 'terminal')
  t.is(attempted.get('tty'), 'ENXIO')
  attempted.delete('tty')
  t.is(attempted.get('leads-session'), OK)
  attempted.delete('leads-session')
  refused(t, attempted, ['ENOTTY', 'EPERM', 'EIO', 'ENOENT'])
})

test('a prepared folder that is mounted changes neither /dev nor /proc (CVE-2025-31133, CVE-2025-52565)', async (t) => {
  const folder = temporaryFolder(t)
  const victim = join(folder, 'victim')
  writeFileSync(victim, 'untouched')
  const prepared = join(folder, 'prepared')
  mkdirSync(prepared)
  for (const name of ['dev', 'proc', 'null', 'kcore']) symlinkSync(victim, join(prepared, name))
  symlinkSync('/proc/sysrq-trigger', join(prepared, 'file'))
  const master = await createMaster(t, {
    mounts: [...defaultMounts(), { source: prepared, target: '/prepared', readOnly: false }],
    maskedPaths: ['/proc/interrupts', '/prepared/kcore', '/prepared/file', '/prepared/none/such'],
  })
  const { stdout } = await master.run('stat', ['-c', '%t:%T', '/dev/null', '/proc/interrupts'])
  t.is(stdout, '1:3\n1:3\n')
  t.is((await master.run('stat', ['-f', '-c', '%T', '/proc'])).stdout, 'proc\n')
  t.is(readFileSync(victim, 'utf8'), 'untouched')
  // A target that is a link inside of a mounted folder leads nowhere but into the container.
  await t.throwsAsync(
    createMaster(t, {
      mounts: [...defaultMounts(), { source: prepared, target: '/p' }, { type: 'tmpfs', target: '/p/dev/x' }],
    }),
  )
  t.is(readFileSync(victim, 'utf8'), 'untouched')
})

test('a descriptor of the host that was not given is not inherited, close-on-exec or not', async (t) => {
  const fd = openSync('/', 'r')
  t.teardown(() => closeSync(fd))
  const master = await createMaster(t)
  const { stdout } = await master.run('sh', ['-c', 'cat /proc/self/fd/*/etc/hostname 2>&1; ls /proc/self/fd | wc -l'])
  t.is(stdout.trimEnd().split('\n').at(-1), '4')
})
