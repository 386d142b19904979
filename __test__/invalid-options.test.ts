// What the caller wrote wrongly: errors that name the option, what is expected and what came. Nothing is started.
import test from 'ava'
import {
  HotcellError,
  Master,
  type ExecveParam,
  type MasterOptions,
  type RunOptions,
  type SpawnOptions,
} from '../index.js'
import { createMaster } from './support/mode.js'

type Wrong = readonly [what: unknown, code: string, message: RegExp]

const TYPE = 'ERR_INVALID_ARG_TYPE'
const VALUE = 'ERR_INVALID_ARG_VALUE'
const RANGE = 'ERR_OUT_OF_RANGE'
const UNSUPPORTED = 'ERR_HOTCELL_UNSUPPORTED'

function fits(error: unknown, code: string): boolean {
  if (code === UNSUPPORTED) return error instanceof HotcellError
  return code === RANGE ? error instanceof RangeError : error instanceof TypeError
}

const masterOptions: readonly Wrong[] = [
  [null, TYPE, /"options" option must be an object; received null/],
  [[], TYPE, /"options"/],
  ['root', TYPE, /"options"/],
  [{ hostName: 'x' }, VALUE, /no option "hostName".*Did you mean "hostname"\?/],
  [{ completelyDifferent: 1 }, VALUE, /no option "completelyDifferent".*Known are: .*mounts/],
  [{ root: 1 }, TYPE, /"root".*string/],
  [{ root: 'a\0b' }, VALUE, /"root".*null bytes/],
  [{ mounts: 'x' }, TYPE, /"mounts".*array/],
  [{ mounts: [null] }, TYPE, /"mounts\[0\]"/],
  [
    {
      mounts: [
        { source: '/usr', target: '/usr' },
        { source: '/x', target: 1 },
      ],
    },
    TYPE,
    /"mounts\[1\]\.target"/,
  ],
  [{ mounts: [{ source: '/x', target: '' }] }, VALUE, /"mounts\[0\]\.target".*empty/],
  [{ mounts: [{ source: '/x', target: '/' }] }, VALUE, /"mounts\[0\]\.target".*below/],
  [{ mounts: [{ source: '/x', target: '/a/..' }] }, VALUE, /"mounts\[0\]\.target".*below/],
  [{ mounts: [{ source: '', target: '/x' }] }, VALUE, /"mounts\[0\]\.source".*empty/],
  [{ mounts: [{ target: '/x' }] }, VALUE, /"mounts\[0\]\.type"/],
  [{ mounts: [{ type: 'bind', target: '/x' }] }, TYPE, /"mounts\[0\]\.source"/],
  [
    { mounts: [{ type: 'tmpfs', source: '/x', target: '/x' }] },
    VALUE,
    /"mounts\[0\]\.source".*bind or an overlay only/,
  ],
  [{ mounts: [{ type: 'tmpfs', target: '/x', sizeBytes: 0 }] }, RANGE, /"mounts\[0\]\.sizeBytes"/],
  [{ mounts: [{ type: 'tmpfs', target: '/x', inodes: 1.5 }] }, RANGE, /"mounts\[0\]\.inodes"/],
  [{ mounts: [{ source: '/x', target: '/x', sizeBytes: 5000 }] }, VALUE, /"mounts\[0\]\.sizeBytes".*tmpfs only/],
  [{ mounts: [{ source: '/x', target: '/x', readOnly: 'yes' }] }, TYPE, /"mounts\[0\]\.readOnly".*boolean/],
  [
    { mounts: [{ source: '/x', target: '/x', readonly: true }] },
    VALUE,
    /no option "mounts\[0\]\.readonly".*"readOnly"/,
  ],
  [{ mounts: [{ type: 'ext4', target: '/x' }] }, VALUE, /"mounts\[0\]\.type"/],
  [{ mounts: [{ type: 'proc', target: '/proc' }] }, UNSUPPORTED, /proc: 'masked'/],
  [{ mounts: [{ type: 'overlay', target: '/x' }] }, TYPE, /mounts\[0\]\.source/],
  [{ mounts: [{ type: 'overlay', source: '/', target: '/x', readOnly: true }] }, VALUE, /readOnly.*bind/],
  [{ mounts: [{ type: 'overlay', source: '/', target: '/x', sizeBytes: 1 }] }, RANGE, /sizeBytes/],
  [{ mounts: [{ source: '/', target: '/x', owner: 'host' }] }, VALUE, /owner.*overlay only/],
  [{ symlinks: [{ target: 'x' }] }, TYPE, /"symlinks\[0\]\.path"/],
  [{ symlinks: [{ target: '', path: '/x' }] }, VALUE, /"symlinks\[0\]\.target".*empty/],
  [{ symlinks: [{ target: 'x', path: '/x', mode: 1 }] }, VALUE, /"symlinks\[0\]\.mode"/],
  [{ maskedPaths: [1] }, TYPE, /"maskedPaths\[0\]"/],
  [{ workDir: 'relative' }, VALUE, /"workDir".*absolute.*'relative'/],
  [{ hostname: 'x'.repeat(65) }, VALUE, /"hostname".*64/],
  [{ domainName: 'ü'.repeat(33) }, VALUE, /"domainName".*64/],
  [{ env: 'A=1' }, TYPE, /"env"/],
  [{ env: ['A'] }, VALUE, /"env\[0\]".*NAME=value/],
  [{ env: ['A=1', '=x'] }, VALUE, /"env\[1\]"/],
  [{ env: { 'A=B': '1' } }, VALUE, /"env".*'A=B'/],
  [{ env: { '': '1' } }, VALUE, /"env"/],
  [{ env: { A: 1 } }, TYPE, /"env\.A"/],
  [{ env: { A: 'x\0y' } }, VALUE, /"env\.A"/],
  [{ user: { uid: 1 } }, TYPE, /"user\.gid"/],
  [{ user: { uid: -1, gid: 1 } }, RANGE, /"user\.uid"/],
  [{ user: { uid: 1, gid: 0xffffffff } }, RANGE, /"user\.gid"/],
  [{ user: 1000 }, TYPE, /"user"/],
  [{ userNamespace: 'yes' }, TYPE, /"userNamespace".*boolean/],
  [{ network: 'bridge' }, VALUE, /"network".*'none', 'host'.*'bridge'/],
  [{ tmpfs: { sizeBytes: 0 } }, RANGE, /"tmpfs\.sizeBytes"/],
  [{ tmpfs: { inodes: 0 } }, RANGE, /"tmpfs\.inodes"/],
  [{ tmpfs: { size: 1 } }, VALUE, /"tmpfs\.size"/],
  [{ proc: true }, VALUE, /"proc"/],
  [{ signal: 'now' }, TYPE, /"signal".*AbortSignal/],
  [{ limits: { outputBytes: -1 } }, RANGE, /"limits\.outputBytes"/],
  [{ limits: { outputbytes: 1 } }, VALUE, /"limits\.outputbytes".*"outputBytes"/],
  [{ seccomp: 'docker' }, VALUE, /"seccomp".*'default'.*'docker'/],
  [{ seccomp: 1 }, TYPE, /"seccomp"/],
  [{ seccomp: [] }, TYPE, /"seccomp"/],
  [{ seccomp: {} }, VALUE, /"seccomp".*defaultAction/],
  [{ seccomp: { defaultAction: 'ALLOW' } }, VALUE, /"seccomp".*defaultAction.*SCMP_ACT_ALLOW/],
  [
    {
      seccomp: { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['kexec_laod'], action: 'SCMP_ACT_KILL' }] },
    },
    VALUE,
    /"seccomp".*syscalls\[0\]\.names\[0\].*kexec_laod.*"kexec_load"/,
  ],
  [
    {
      seccomp: {
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [
          {
            names: ['read'],
            action: 'SCMP_ACT_KILL',
            args: [{ index: 6, value: 0, op: 'SCMP_CMP_EQ' }],
          },
        ],
      },
    },
    VALUE,
    /syscalls\[0\]\.args\[0\]\.index.*argument 6/,
  ],
  [{ seccomp: { defaultAction: 'SCMP_ACT_ALLOW', syscall: [] } }, VALUE, /"seccomp".*syscall/],
  [{ cgroup: true }, TYPE, /"cgroup".*object or false/],
  [{ cgroup: { parent: 'x' } }, VALUE, /no option "cgroup\.parent"/],
  [{ cgroup: { name: 'a/b' } }, VALUE, /"cgroup\.name".*'a\/b'/],
  [{ cgroup: { name: 1 } }, TYPE, /"cgroup\.name"/],
  [{ cgroup: { base: 'judge.slice' } }, VALUE, /"cgroup\.base".*slash/],
  [{ cgroup: { version: 3 } }, VALUE, /"cgroup\.version".*1 or 2/],
]

/** Limits that are none, of a container or of a run. */
const limits: readonly Wrong[] = [
  [null, TYPE, /"limits"/],
  [{ cpuTime: 1 }, VALUE, /no option "limits\.cpuTime".*"cpuTimeMs"/],
  [{ cpuTimeMs: 0 }, RANGE, /"limits\.cpuTimeMs".*>= 1/],
  [{ cpuTimeMs: 0.5 }, RANGE, /"limits\.cpuTimeMs".*integer/],
  [{ cpuTimeMs: NaN }, RANGE, /"limits\.cpuTimeMs"/],
  [{ cpuTimeMs: '1000' }, TYPE, /"limits\.cpuTimeMs"/],
  [{ wallTimeMs: -1 }, RANGE, /"limits\.wallTimeMs"/],
  [{ wallTimeMs: Infinity }, RANGE, /"limits\.wallTimeMs"/],
  [{ wallTimeMs: 1e12 }, RANGE, /"limits\.wallTimeMs"/],
  [{ memoryBytes: 1 }, RANGE, /"limits\.memoryBytes".*>= 65536/],
  [{ memoryBytes: 2 ** 53 }, RANGE, /"limits\.memoryBytes"/],
  [{ stackBytes: 4096 }, RANGE, /"limits\.stackBytes"/],
  [{ fileSizeBytes: -1 }, RANGE, /"limits\.fileSizeBytes"/],
  [{ processes: 0 }, RANGE, /"limits\.processes"/],
  [{ processes: 1.5 }, RANGE, /"limits\.processes"/],
  [{ openFiles: 0 }, RANGE, /"limits\.openFiles"/],
  [{ cpuRate: 0 }, RANGE, /"limits\.cpuRate".*>= 0.001/],
  [{ cpuRate: NaN }, RANGE, /"limits\.cpuRate"/],
  [{ cpuRate: '1' }, TYPE, /"limits\.cpuRate"/],
  [{ cpuSet: 0 }, TYPE, /"limits\.cpuSet"/],
  [{ cpuSet: '' }, VALUE, /"limits\.cpuSet".*'0-3,8'/],
  [{ cpuSet: '3-1' }, VALUE, /"limits\.cpuSet"/],
  [{ cpuSet: '0,a' }, VALUE, /"limits\.cpuSet"/],
]

test('limits, of a container and of each way to run', async (t) => {
  const master = await createMaster(t)
  for (const [wrong, code, message] of limits) {
    const about = JSON.stringify(wrong)
    const options = { limits: wrong } as object
    for (const attempt of [
      Master.create(options),
      master.execve({ args: ['true'], ...options }),
      master.run('true', [], options),
    ]) {
      t.true(fits(await t.throwsAsync(attempt, { code, message }, about), code), about)
    }
    t.throws(() => master.spawn('true', [], options), { code, message }, about)
  }
  t.is((await master.run('true')).status, 'ok')
})

test('options of a container', async (t) => {
  for (const [wrong, code, message] of masterOptions) {
    const about = JSON.stringify(wrong)
    const error = await t.throwsAsync(Master.create(wrong as MasterOptions), { code, message }, about)
    t.true(fits(error, code), about)
  }
})

const execveParams: readonly Wrong[] = [
  [undefined, TYPE, /"param"/],
  [{}, TYPE, /"args".*array/],
  [{ args: 'true' }, TYPE, /"args".*array/],
  [{ args: [] }, VALUE, /"args".*at least one/],
  [{ args: [1] }, TYPE, /"args\[0\]"/],
  [{ args: ['true', 'a\0b'] }, VALUE, /"args\[1\]".*null bytes/],
  [{ args: ['true', Buffer.from('a\0b')] }, VALUE, /"args\[1\]".*null bytes/],
  [{ args: ['true'], argz: [] }, VALUE, /no option "argz".*"args"/],
  [{ args: ['true'], env: [1] }, TYPE, /"env\[0\]"/],
  [{ args: ['true'], fds: [-1] }, RANGE, /"fds\[0\]"/],
  [{ args: ['true'], fds: [0, '1'] }, TYPE, /"fds\[1\]"/],
  [{ args: ['true'], fds: [{}] }, TYPE, /"fds\[0\]"/],
  [{ args: ['true'], fds: 0 }, TYPE, /"fds"/],
  [{ args: ['true'], fds: Array.from({ length: 252 }, () => 0) }, RANGE, /"fds\.length".*251/],
  [{ args: ['true'], execFile: '/bin/true' }, TYPE, /"execFile"/],
  [{ args: ['true'], rlimits: {} }, TYPE, /"rlimits"/],
  [
    { args: ['true'], rlimits: [{ resource: 'time', soft: 1, hard: 1 }] },
    VALUE,
    /"rlimits\[0\]\.resource".*cpu.*'time'/,
  ],
  [{ args: ['true'], rlimits: [{ resource: 'toString', soft: 1, hard: 1 }] }, VALUE, /"rlimits\[0\]\.resource"/],
  [{ args: ['true'], rlimits: [{ resource: 'cpu', soft: 1 }] }, TYPE, /"rlimits\[0\]\.hard"/],
  [{ args: ['true'], rlimits: [{ resource: 'cpu', soft: 2, hard: 1 }] }, VALUE, /"rlimits\[0\]\.soft".*above hard/],
  [{ args: ['true'], rlimits: [{ resource: 'cpu', soft: 'unlimited', hard: 1 }] }, VALUE, /"rlimits\[0\]\.soft"/],
  [{ args: ['true'], rlimits: [{ resource: 'cpu', soft: -1, hard: 1 }] }, RANGE, /"rlimits\[0\]\.soft"/],
  [{ args: ['true'], rlimits: [{ resource: 'cpu', soft: 0.5, hard: 1 }] }, RANGE, /"rlimits\[0\]\.soft"/],
  [{ args: ['true'], rlimits: [{ resource: 'cpu', soft: Infinity, hard: Infinity }] }, RANGE, /"rlimits\[0\]\.soft"/],
  [{ args: ['true'], syncFunc: 'later' }, TYPE, /"syncFunc".*function/],
  [{ args: ['true'], cwd: 1 }, TYPE, /"cwd"/],
  [{ args: ['true'], cwd: '' }, VALUE, /"cwd".*empty/],
  [{ args: ['true'], limits: { outputBytes: 1 } }, UNSUPPORTED, /"limits\.outputBytes".*run\(\)/],
  [{ args: ['true'], seccomp: 'none' }, VALUE, /"seccomp"/],
  [{ args: ['true'], landlock: [] }, TYPE, /"landlock"/],
  [{ args: ['true'], landlock: { reads: [] } }, VALUE, /no option "landlock\.reads".*"read"/],
  [{ args: ['true'], landlock: { read: '/w' } }, TYPE, /"landlock\.read"/],
  [{ args: ['true'], landlock: { read: [''] } }, VALUE, /"landlock\.read\[0\]"/],
  [{ args: ['true'], landlock: { bind: [70_000] } }, RANGE, /"landlock\.bind\[0\]"/],
  [{ args: ['true'], landlock: { whenUnsupported: 'ignore' } }, VALUE, /"landlock\.whenUnsupported"/],
  [{ args: ['true'], trace: true }, TYPE, /"trace"/],
  [{ args: ['true'], trace: { file: {} } }, VALUE, /"trace\.file"/],
  [{ args: ['true'], trace: { files: { list: [] } } }, VALUE, /"trace\.files\.list"/],
  [{ args: ['true'], trace: { files: { read: '/usr' } } }, TYPE, /"trace\.files\.read"/],
  [{ args: ['true'], trace: { files: { read: ['usr'] } } }, VALUE, /"trace\.files\.read\[0\]".*absolute.*'usr'/],
  [{ args: ['true'], trace: { files: { read: ['/a/../b'] } } }, VALUE, /"trace".*\/a\/\.\.\/b/],
  [{ args: ['true'], trace: { syscalls: ['open', 'opne'] } }, VALUE, /"trace".*opne/],
  [{ args: ['true'], trace: { onViolation: 'ignore' } }, VALUE, /"trace\.onViolation"/],
  [{ args: ['true'], trace: { onEvent: 1 } }, TYPE, /"trace\.onEvent"/],
  [{ args: ['true'], tty: 1 }, TYPE, /"tty".*boolean or an object \{ columns, rows \}/],
  [{ args: ['true'], tty: null }, TYPE, /"tty"/],
  [{ args: ['true'], tty: { columns: 80 } }, TYPE, /"tty\.rows"/],
  [{ args: ['true'], tty: { columns: 0, rows: 24 } }, RANGE, /"tty\.columns".*>= 1 and <= 65535/],
  [{ args: ['true'], tty: { columns: 80, rows: 24, cols: 80 } }, VALUE, /no option "tty\.cols"/],
  [{ args: ['true'], tty: true, fds: [0] }, VALUE, /"fds".*beside "tty"/],
  [{ args: ['true'], tty: true, onTerminal: 1 }, TYPE, /"onTerminal"/],
  [{ args: ['true'], onTerminal: () => undefined }, VALUE, /"onTerminal".*needs "tty"/],
]

test('parameters of execve', async (t) => {
  const master = await createMaster(t)
  for (const [wrong, code, message] of execveParams) {
    const about = JSON.stringify(wrong) ?? 'undefined'
    const error = await t.throwsAsync(master.execve(wrong as ExecveParam), { code, message }, about)
    t.true(fits(error, code), about)
  }
  t.is((await master.execve({ args: ['true'], tty: false })).status, 'ok')
})

const runOptions: readonly Wrong[] = [
  [null, TYPE, /"options"/],
  [{ inputs: 'x' }, VALUE, /no option "inputs".*"input"/],
  [{ stdin: 'ignore' }, VALUE, /no option "stdin"/],
  [{ input: 1 }, TYPE, /"input"/],
  [{ encoding: 'latin1' }, VALUE, /"encoding".*'utf8', 'buffer'/],
  [{ files: [] }, TYPE, /"files"/],
  [{ files: { x: 1 } }, TYPE, /"files\['x'\]"/],
  [{ files: { '': 'x' } }, VALUE, /"files".*empty/],
  [{ files: { x: new URL('https://example.org/') } }, VALUE, /"files\['x'\]".*file: URL/],
  [{ collect: 'x' }, TYPE, /"collect"/],
  [{ collect: [1] }, TYPE, /"collect\[0\]"/],
  [{ collect: [''] }, VALUE, /"collect\[0\]"/],
  [{ limits: { outputBytes: '1' } }, TYPE, /"limits\.outputBytes"/],
  [{ signal: {} }, TYPE, /"signal"/],
  [{ cgroup: {} }, VALUE, /no option "cgroup"/],
  [{ tty: 'yes' }, TYPE, /"tty"/],
  [{ tty: [] }, TYPE, /"tty"/],
]

test('options of run', async (t) => {
  const master = await createMaster(t)
  for (const [wrong, code, message] of runOptions) {
    const about = JSON.stringify(wrong)
    const error = await t.throwsAsync(master.run('true', [], wrong as RunOptions), { code, message }, about)
    t.true(fits(error, code), about)
  }
  await t.throwsAsync(master.run(1 as never), { code: TYPE, message: /"file"/ })
  await t.throwsAsync(master.run('true', 'x' as never), { code: TYPE, message: /"args"/ })
})

const spawnOptions: readonly Wrong[] = [
  [{ input: 'x' }, VALUE, /no option "input"/],
  [{ stdin: 'inherit' }, VALUE, /"stdin".*'pipe', 'ignore'/],
  [{ stdout: 1 }, VALUE, /"stdout"/],
  [{ stderr: null, stdinn: 1 }, VALUE, /no option "stdinn".*"stdin"/],
  [{ tty: { columns: 80, rows: 1.5 } }, RANGE, /"tty\.rows"/],
  [{ tty: true, stderr: 'pipe' }, VALUE, /"stderr".*beside "tty"/],
  [{ tty: true, onTerminal: () => undefined }, VALUE, /no option "onTerminal"/],
]

test('options of spawn throw on the spot', async (t) => {
  const master = await createMaster(t)
  for (const [wrong, code, message] of spawnOptions) {
    const about = JSON.stringify(wrong)
    const error = t.throws(() => master.spawn('true', [], wrong as SpawnOptions), { code, message }, about)
    t.true(fits(error, code), about)
  }
})

test('arguments of the other methods', async (t) => {
  const master = await createMaster(t)
  const wrong: readonly (readonly [() => Promise<unknown>, string, RegExp])[] = [
    [() => master.ping({ timeout: 1 } as never), VALUE, /no option "timeout"/],
    [() => master.reset({ signal: 1 } as never), TYPE, /"signal"/],
    [() => master.copyIn(1 as never, 'x'), TYPE, /"source"/],
    [() => master.copyIn(null as never, 'x'), TYPE, /"source"/],
    [() => master.copyIn({} as never, 'x'), TYPE, /"source"/],
    [() => master.copyIn({ fd: -1 }, 'x'), RANGE, /"source"/],
    [() => master.copyIn(new URL('data:,x'), 'x'), VALUE, /"source".*file: URL/],
    [() => master.copyIn('a\0b', 'x'), VALUE, /"source".*null bytes/],
    [() => master.copyIn(Buffer.alloc(1), ''), VALUE, /"path".*empty/],
    [() => master.copyIn(Buffer.alloc(1), 'a\0b'), VALUE, /"path".*null bytes/],
    [() => master.copyIn(Buffer.alloc(1), 1 as never), TYPE, /"path"/],
    [() => master.copyIn(Buffer.alloc(1), 'x', { mode: 0o10000 }), RANGE, /"mode"/],
    [() => master.copyIn(Buffer.alloc(1), 'x', { mode: '755' as never }), TYPE, /"mode"/],
    [() => master.copyOut('x', { maxBytes: -1 }), RANGE, /"maxBytes"/],
    [() => master.copyOut('x', { max: 1 } as never), VALUE, /no option "max"/],
    [() => master.open('x', 'q'), VALUE, /"flags".*r\+.*'q'/],
    [() => master.open('x', -1), RANGE, /"flags"/],
    [() => master.open('x', {} as never), TYPE, /"flags"/],
    [() => master.open('x', 'w', 0o10000), RANGE, /"mode"/],
    [() => master.open('', 'r'), VALUE, /"path"/],
    [() => master.symlink(1 as never, 'x'), TYPE, /"target"/],
    [() => master.symlink('x', ''), VALUE, /"path"/],
    [() => master.delete('x', { recursive: 1 as never }), TYPE, /"recursive"/],
    [() => master.delete('x', { force: true } as never), VALUE, /no option "force"/],
  ]
  for (const [call, code, message] of wrong) {
    const error = await t.throwsAsync(call, { code, message })
    t.true(fits(error, code))
  }
  // None of it reached the container.
  t.is((await master.run('ls', ['-A'])).stdout, '')
})

test('signals that are none', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('cat')
  t.throws(() => run.kill('SIGNONE' as NodeJS.Signals), { code: VALUE, message: /SIGNONE/ })
  t.throws(() => run.kill(65), { code: VALUE })
  t.throws(() => run.kill(-1), { code: VALUE })
  t.throws(() => run.kill({} as never), { code: TYPE })
  t.like(await run, { status: 'ok' })
})
