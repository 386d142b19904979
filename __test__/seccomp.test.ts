// What system calls programs may make. `crates/seccomp` tests policies call by call; here are containers.
import { getSystemErrorName } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { SeccompPolicy, type Master, type OciSeccomp, type SeccompInput } from '../index.js'
import { install } from './support/compile.js'
import { createMaster } from './support/mode.js'
import { inContainer, requires } from './support/requires.js'

async function table(t: ExecutionContext, master: Master, seccomp?: SeccompInput): Promise<Map<string, string>> {
  await install(master, 'forbidden')
  const result = await master.run('./forbidden', [], { seccomp })
  t.is(result.status, 'ok', JSON.stringify(result))
  return new Map(
    result.stdout
      .trim()
      .split('\n')
      .map((line): [string, string] => {
        const [name, errno] = line.split(' ') as [string, string]
        return [name, errno === '0' ? 'OK' : getSystemErrorName(-Number(errno))]
      }),
  )
}

test('the default profile refuses what has led out of containers', async (t) => {
  const results = await table(t, await createMaster(t))
  const families = { 1: 'OK', 2: 'OK', 10: 'OK' } as Record<string, string>
  for (const [name, result] of results) {
    const family = /^socket-(\d+)$/.exec(name)?.[1]
    if (family !== undefined) {
      const expected = families[family] === undefined ? ['EAFNOSUPPORT', 'EPROTONOSUPPORT'] : ['OK']
      t.true(expected.includes(result), `${name}: ${result}`)
    } else if (name.startsWith('allowed-')) {
      t.is(result, 'OK', name)
    } else {
      t.true(['EPERM', 'ENOSYS', 'EACCES'].includes(result), `${name}: ${result}`)
    }
  }
  for (const name of ['clone3', 'io_uring_setup', 'unknown-number']) t.is(results.get(name), 'ENOSYS', name)
  t.true(results.size > 100)
})

for (const abi of ['i386', 'x32']) {
  requires('x86-64', process.arch === 'x64')(`calls by another ABI end the run (${abi})`, async (t) => {
    const master = await createMaster(t)
    await install(master, 'forbidden')
    const result = await master.run('./forbidden', [abi])
    t.is(result.status, 'disallowed-syscall', JSON.stringify(result))
    t.regex(result.status === 'disallowed-syscall' ? result.syscall : '', new RegExp(abi))
    t.is((await master.run('true')).status, 'ok')
  })
}

test('a killed call is named, with its arguments', async (t) => {
  const master = await createMaster(t)
  const policy = SeccompPolicy.allowAll().rule('kill', ['prlimit64'], { arg: 0, op: '!=', value: 0 })
  await install(master, 'forbidden')
  for (const run of [
    () => master.run('./forbidden', [], { seccomp: policy }),
    () => master.execve({ args: ['./forbidden'], seccomp: policy }),
    () => master.spawn('./forbidden', [], { seccomp: policy }).result,
  ]) {
    const result = await run()
    if (result.status !== 'disallowed-syscall') return t.fail(JSON.stringify(result))
    t.is(result.syscall, 'prlimit64')
    t.is(result.args?.length, 6)
    t.is(result.args?.[1], '0x7')
  }
  return undefined
})

test('policies of a container, and of a run in it', async (t) => {
  const uname = (master: Master, seccomp?: SeccompInput) => master.run('uname', [], { seccomp })
  const deny = SeccompPolicy.allowAll().deny('ENOSYS', 'uname')
  const kill: OciSeccomp = {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: ['uname'], action: 'SCMP_ACT_KILL_PROCESS' }],
  }
  const master = await createMaster(t, { seccomp: deny })
  t.is((await uname(master)).status, 'nonzero-exit')
  t.is((await uname(master, 'default')).status, 'ok')
  t.is((await uname(master, kill)).status, 'disallowed-syscall')
  t.is((await uname(master, 'off')).status, 'ok')
  t.is((await uname(master)).status, 'nonzero-exit')
  await master.reset()
  t.is((await uname(master)).status, 'nonzero-exit')
  // At once, each with its own.
  const inputs: (SeccompInput | undefined)[] = [undefined, 'default', kill, 'off']
  const statuses = ['nonzero-exit', 'ok', 'disallowed-syscall', 'ok']
  const many = await Promise.all(Array.from({ length: 24 }, (_, i) => uname(master, inputs[i % 4])))
  t.deepEqual(
    many.map(({ status }) => status),
    many.map((_, i) => statuses[i % 4]),
  )
})

test('a policy that allows nothing lets the program be executed, and nothing more', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const nothing = SeccompPolicy.denyAll('kill')
  for (const limits of [{}, { memoryBytes: 64 * 1024 * 1024, processes: 4 }]) {
    const result = await master.run('./behave', ['exit', '0'], { seccomp: nothing, limits })
    t.is(result.status, 'disallowed-syscall', JSON.stringify(result))
  }
  await t.throwsAsync(master.run('absent', [], { seccomp: nothing }), { code: 'ENOENT' })
  t.is((await master.run('./behave', ['exit', '4'])).status, 'nonzero-exit')
})

test('a policy is what it was when it was used first', async (t) => {
  const master = await createMaster(t)
  const policy: OciSeccomp = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [] }
  t.is((await master.run('uname', [], { seccomp: policy })).status, 'ok')
  t.deepEqual(SeccompPolicy.denyAll('kill').allow('read').toJSON(), {
    defaultAction: 'SCMP_ACT_KILL_PROCESS',
    syscalls: [{ names: ['read'], action: 'SCMP_ACT_ALLOW' }],
  })
})

test('what is wrong with a policy is told with its place', async (t) => {
  const master = await createMaster(t)
  const run = (seccomp: SeccompInput) => master.run('true', [], { seccomp })
  const code = 'ERR_INVALID_ARG_VALUE'
  await t.throwsAsync(run(SeccompPolicy.allowAll().kill('reed')), { code, message: /syscalls\[0\]\.names\[0\].*reed/ })
  await t.throwsAsync(run(SeccompPolicy.allowAll().rule('kill', ['read'], { arg: 9, op: '==', value: 0 })), {
    code,
    message: /syscalls\[0\]\.args\[0\]\.index.*9/,
  })
  await t.throwsAsync(run(SeccompPolicy.allowAll().allow('read').kill('read')), { code, message: /contradict.*read/ })
  t.throws(() => SeccompPolicy.allowAll().deny('EWHAT', 'read'), { code, message: /EWHAT/ })
  t.throws(() => SeccompPolicy.allowAll().rule('forbid' as never, ['read']), { code, message: /forbid/ })
  t.throws(() => SeccompPolicy.fromFile('/no/such/profile.json'), { code: 'ENOENT', message: /profile\.json/ })
  await t.throwsAsync(run(SeccompPolicy.fromFile(new URL(import.meta.url))), { code, message: /seccomp\.test\.ts/ })
  t.is((await run('default')).status, 'ok')
})

const hello = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'

/** Programs of every kind under the default profile: what needs no privilege goes on as it did. */
const toolchains: [name: string, script: string, files: Record<string, string>, expected: RegExp][] = [
  ['gcc', 'gcc -O2 -o hello hello.c && ./hello', { 'hello.c': hello }, /^hello\n$/],
  [
    'g++',
    'g++ -O1 -pthread -o t t.cpp && ./t',
    {
      't.cpp':
        '#include <thread>\n#include <cstdio>\nint main() { std::thread t([] { puts("thread"); }); t.join(); }\n',
    },
    /^thread\n$/,
  ],
  [
    'python3',
    'python3 t.py',
    {
      't.py': [
        'import threading, subprocess, multiprocessing, socket, tempfile, os',
        'def child(pipe): pipe.send(os.getpid())',
        'if __name__ == "__main__":',
        '  t = threading.Thread(target=lambda: print("thread", flush=True)); t.start(); t.join()',
        '  print(subprocess.run(["echo", "process"], capture_output=True, text=True).stdout, end="", flush=True)',
        '  a, b = multiprocessing.Pipe(); p = multiprocessing.Process(target=child, args=(b,)); p.start(); assert a.recv() == p.pid; p.join()',
        '  s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); c = socket.create_connection(s.getsockname())',
        '  tempfile.TemporaryFile().write(b"x")',
        '  print("done")',
      ].join('\n'),
    },
    /^thread\nprocess\ndone\n$/,
  ],
  [
    'node',
    `node -e 'new (require("worker_threads").Worker)("console.log(\\"worker\\")", { eval: true })'`,
    {},
    /^worker\n$/,
  ],
  ['bash', "bash -c 'cat <(echo sub) | tr a-z A-Z; ulimit -c'", {}, /^SUB\n/],
  ['perl', "perl -e 'if (fork == 0) { exit 3 } wait; print $? >> 8'", {}, /^3$/],
]

for (const [name, script, files, expected] of toolchains) {
  requires(name, inContainer(name))(`${name} works under the default profile`, async (t) => {
    const master = await createMaster(t)
    const sources = Object.fromEntries(Object.entries(files).map(([path, text]) => [path, Buffer.from(text)]))
    const result = await master.run('sh', ['-c', script], { files: sources })
    t.is(result.status, 'ok', JSON.stringify(result))
    t.regex(result.stdout, expected)
  })
}

test('judge: programs of contests run, and start nothing', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const run = (file: string, args: string[]) => master.run(file, args, { seccomp: 'judge' })
  t.is((await run('./behave', ['compute', '5'])).status, 'ok')
  if (inContainer('python3')) t.is((await run('python3', ['-c', 'print(sum(range(10)))'])).stdout, '45\n')
  const forks = await run('./behave', ['forks', '2'])
  t.is(forks.status, 'disallowed-syscall', JSON.stringify(forks))
  const shell = await run('sh', ['-c', 'true; /bin/true; true'])
  t.is(shell.status, 'disallowed-syscall', JSON.stringify(shell))
})

test('strict: a static program computes, and reads and writes what it was given', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const run = (...args: string[]) => master.run('./behave', args, { seccomp: 'strict' })
  const written = await run('write', '10')
  t.is(written.status, 'ok', JSON.stringify(written))
  t.is(written.stdout, 'x'.repeat(10))
  t.is((await run('create', '/w/new')).status, 'disallowed-syscall')
  t.is((await run('forks', '1')).status, 'disallowed-syscall')
})
