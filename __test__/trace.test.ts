// Traced runs: what a supervisor tells of them, what it refuses, and that it changes nothing else.
import { readFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import {
  Learned,
  mergeLearned,
  type FileOperation,
  type Master,
  type RunOptions,
  type RunResult,
  type Trace,
  type TraceEvent,
  type TraceOptions,
} from '../index.js'
import { compileSource, install } from './support/compile.js'
import {
  childrenOf,
  descendantsOf,
  isAlive,
  livingDescendantsOf,
  openFds,
  threads,
  zombies,
} from './support/counters.js'
import { rejects } from './support/errors.js'
import { createMaster, hostHas, mode } from './support/mode.js'
import { within } from './support/waiting.js'

/** What every program may do here, so that a rule is about the rest. */
const system: TraceOptions['files'] = {
  read: ['/usr/**', '/lib/**', '/lib64/**', '/etc/ld.so.cache', '/dev/null', '/proc/self/**', '/w/'],
  execute: ['/usr/**', '/bin/**'],
}

function trace(result: { trace?: Trace }): Trace {
  if (result.trace === undefined) throw new Error('there is no trace')
  return result.trace
}

/** The supervisors of a container, by what they call themselves. */
function supervisors(master: Master): number[] {
  return childrenOf(master.pid).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'hotcell-trace'
    } catch {
      return false
    }
  })
}

function nothingIsLeft(t: ExecutionContext, master: Master): void {
  t.deepEqual(livingDescendantsOf(master.pid), [])
  t.deepEqual(zombies(master.pid), [])
}

/** C code that does one thing, and exits with its errno. */
async function program(master: Master, name: string, body: string): Promise<string> {
  const source = `
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
${body}`
  const path = `/w/${name}`
  await master.copyIn(await compileSource(`trace-${name}`, source), path, { mode: 0o755 })
  return path
}

const one = (code: string): string =>
  `int main(int argc, char **argv) { (void)argc; (void)argv; errno = 0; ${code}; return errno; }`

const EACCES = 13

test('events tell of calls, in order, with what they were called with and came to', async (t) => {
  const master = await createMaster(t)
  const path = await program(
    master,
    'calls',
    one(`open("/nowhere", O_RDONLY); close(open("/w", O_RDONLY | O_DIRECTORY)); getppid(); errno = 0`),
  )
  const events: TraceEvent[] = []
  const result = await master.run(path, [], { trace: { syscalls: true, onEvent: (event) => events.push(event) } })
  t.is(result.status, 'ok')
  const calls = events.filter((event) => event.type === 'syscall')
  const [missing, directory] = calls.filter(({ name }) => name === 'openat')
  t.like(missing, { args: ['AT_FDCWD', '/nowhere', 'O_RDONLY'], error: 'ENOENT' })
  t.is(typeof directory?.result, 'number')
  t.is(directory?.args[1], '/w')
  t.is(calls.filter(({ name }) => name === 'getppid').length, 1)
  t.true(calls.every(({ startMs, durationMs }) => startMs >= 0 && durationMs >= 0))
  t.is(events[0]?.type, 'start')
  t.like(events.at(-1), { type: 'exit', exitCode: 0 })
  const summary = trace(result)
  t.like(summary.calls['openat'], { count: 2, errors: 1 })
  t.like(summary, { threads: 1, violations: 0, lost: 0, complete: true })
  t.is(summary.learned, undefined)
  nothingIsLeft(t, master)
})

test('only the calls that were asked for become events', async (t) => {
  const master = await createMaster(t)
  const path = await program(master, 'some', one('getppid(); getuid(); getppid()'))
  const events: TraceEvent[] = []
  const result = await master.run(path, [], {
    trace: { syscalls: ['getppid'], onEvent: (event) => events.push(event) },
  })
  t.deepEqual(Object.keys(trace(result).calls), ['getppid'])
  t.is(trace(result).calls['getppid']?.count, 2)
  t.deepEqual(
    events.filter((event) => event.type === 'syscall').map(({ name }) => name),
    ['getppid', 'getppid'],
  )
})

const operations: readonly [name: string, operation: FileOperation, path: string, code: string][] = [
  ['read', 'read', '/w/secret', 'open("/w/secret", O_RDONLY)'],
  ['list', 'read', '/w/closed', 'open("/w/closed", O_RDONLY | O_DIRECTORY)'],
  ['write', 'write', '/w/secret', 'open("/w/secret", O_WRONLY)'],
  ['make', 'write', '/w/new', 'open("/w/new", O_WRONLY | O_CREAT, 0600)'],
  ['remove', 'write', '/w/secret', 'unlink("/w/secret")'],
  ['rename', 'write', '/w/secret', 'rename("/w/secret", "/w/moved")'],
  ['directory', 'write', '/w/new', 'mkdir("/w/new", 0700)'],
  ['link', 'write', '/w/new', 'symlink("secret", "/w/new")'],
  ['mode', 'write', '/w/secret', 'chmod("/w/secret", 0600)'],
  ['look', 'stat', '/w/secret', 'struct stat s; stat("/w/secret", &s)'],
  ['access', 'stat', '/w/secret', 'access("/w/secret", R_OK)'],
  ['through', 'read', '/w/secret', 'open("/w/to-secret", O_RDONLY)'],
  ['execute', 'execute', '/w/secret', 'char *a[] = {"x", 0}; execv("/w/secret", a)'],
]

for (const [name, operation, path, code] of operations) {
  test(`${name}: denied, killed, or logged, and named`, async (t) => {
    const master = await createMaster(t)
    await master.copyIn(await compileSource('trace-secret', 'int main(void) { return 0; }'), '/w/secret', {
      mode: 0o755,
    })
    await master.run('mkdir', ['/w/closed'])
    await master.run('chmod', ['777', '/w', '/w/secret'])
    await master.symlink('secret', '/w/to-secret')
    const executable = await program(master, `do-${name}`, one(code))
    const files = { read: [executable], stat: ['/w/to-secret', '/proc/self/exe'], write: ['/w/moved'] }
    const traced = async (onViolation: 'deny' | 'kill' | 'log'): Promise<[RunResult, TraceEvent[]]> => {
      const events: TraceEvent[] = []
      const onEvent = (event: TraceEvent): unknown => events.push(event)
      const result = await master.run(executable, [], { trace: { files, onViolation, onEvent } })
      t.deepEqual(
        events.map((event) => event.type === 'violation' && [event.operation, event.path, event.response]),
        [[operation, path, onViolation]],
        onViolation,
      )
      t.is(trace(result).violations, 1)
      return [result, events]
    }
    const [denied] = await traced('deny')
    t.like(denied, { status: 'nonzero-exit', exitCode: EACCES })
    const [killed] = await traced('kill')
    t.like(killed, { status: 'disallowed-file', path, operation })
    const [logged] = await traced('log')
    t.is(logged.status, 'ok')
    nothingIsLeft(t, master)
  })
}

test('a process that a run starts is under the same rules', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('secret'), '/w/secret')
  const files = { ...system, read: (system?.read ?? []).filter((rule) => rule !== '/w/') }
  const result = await master.run('sh', ['-c', 'cat /w/secret; cat /usr/bin/env > /dev/null && echo fine'], {
    trace: { files: { ...files, write: ['/dev/null'] } },
  })
  t.like(result, { status: 'ok', stdout: 'fine\n' })
  t.regex(String(result.stderr), /secret: Permission denied/)
  t.is(trace(result).violations, 1)
})

test('without rules nothing is allowed but the program itself', async (t) => {
  const master = await createMaster(t)
  const path = await program(master, 'nothing', one('open("/dev/null", O_RDONLY)'))
  t.like(await master.run(path, [], { trace: { files: {} } }), { exitCode: EACCES })
})

/** The same program, traced in full and not at all: nobody can tell the one from the other by what it did. */
async function same(t: ExecutionContext, master: Master, file: string, args: string[], more: RunOptions = {}) {
  const plain = await master.run(file, args, more)
  const events: TraceEvent[] = []
  const traced = await within(
    master.run(file, args, { ...more, trace: { syscalls: true, onEvent: (event) => events.push(event) } }),
    'the traced run',
    120_000,
  )
  const seen = ({ status, stdout, stderr, exitCode }: RunResult & { exitCode?: number }): unknown => ({
    status,
    stdout: String(stdout),
    stderr: String(stderr),
    exitCode,
  })
  t.deepEqual(seen(traced), seen(plain))
  t.true(trace(traced).complete)
  const counted = Object.values(trace(traced).calls).reduce((sum, { count }) => sum + count, 0)
  t.is(events.filter((event) => event.type === 'syscall').length, counted)
  t.is(events.filter((event) => event.type === 'start').length, trace(traced).threads)
  nothingIsLeft(t, master)
}

const hello = '#include <stdio.h>\nint main(void) { puts("hello"); return 7; }\n'

test('gcc does the same under a full trace', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from(hello), 'hello.c')
  await same(t, master, 'gcc', ['-pipe', 'hello.c', '-o', 'hello'])
  await same(t, master, './hello', [])
})

test('python3 does the same under a full trace', async (t) => {
  const master = await createMaster(t)
  const code = 'import subprocess, json, sys; print(json.dumps(subprocess.run(["echo", "x"]).returncode)); sys.exit(5)'
  await same(t, master, 'python3', ['-c', code])
})

test('node does the same under a full trace', async (t) => {
  const master = await createMaster(t)
  const mounts = { NODE: process.execPath }
  if (!mounts.NODE.startsWith('/usr/')) return void t.pass('node is not in /usr here')
  const code = 'setTimeout(() => { console.log(6 * 7); process.exitCode = 3 }, 5)'
  await same(t, master, mounts.NODE, ['-e', code])
})

test('two hundred processes and a thousand threads', async (t) => {
  const master = await createMaster(t)
  const path = await program(
    master,
    'many',
    `static void *nothing(void *p) { return p; }
int main(void) {
  for (int i = 0; i < 200; i++) {
    pid_t pid = fork();
    if (pid < 0) return 1;
    if (pid == 0) {
      for (int j = 0; j < 5; j++) { pthread_t t; if (pthread_create(&t, 0, nothing, 0)) _exit(2); pthread_join(t, 0); }
      _exit(0);
    }
  }
  for (int i = 0; i < 200; i++) { int status; if (wait(&status) < 0 || status) return 3; }
  return 0;
}`,
  )
  const result = await master.run(path, [], { trace: { syscalls: ['exit', 'exit_group'], files: { read: ['/**'] } } })
  t.is(result.status, 'ok')
  t.is(trace(result).threads, 1201)
  t.is(trace(result).calls['exit_group']?.count, 201)
  nothingIsLeft(t, master)
})

test('execve, with descriptors and a sync point', async (t) => {
  const master = await createMaster(t)
  const path = await program(master, 'synced', one('getppid()'))
  let seen = 0
  const result = await master.execve({
    args: [path],
    syncFunc: (pid) => {
      seen = pid
    },
    trace: { syscalls: ['getppid'] },
  })
  t.true(seen > 0)
  t.is(result.status, 'ok')
  t.is(trace(result).calls['getppid']?.count, 1)
})

test('a program that cannot be started is the same error as without a trace', async (t) => {
  const master = await createMaster(t)
  await t.throwsAsync(master.run('/nowhere', [], { trace: { syscalls: true } }), { code: 'ENOENT' })
  await t.throwsAsync(master.execve({ args: ['/w'], trace: { syscalls: true } }), { code: 'EACCES' })
  t.is((await master.run('true', [], { trace: { syscalls: true } })).status, 'ok')
  nothingIsLeft(t, master)
})

test('a program that nobody may read cannot be traced, and says so', async (t) => {
  const master = await createMaster(t)
  const path = await program(master, 'unreadable', one('getppid()'))
  await master.run('chmod', ['111', path])
  const run = master.run(path, [], { trace: { syscalls: true } })
  // The owner of the file may be who traces, or the host's root.
  const outcome = await run.then(
    ({ status }) => status,
    (error: { code: string }) => error.code,
  )
  t.true(outcome === 'ok' || outcome === 'ERR_HOTCELL_TRACE', outcome)
  t.is((await master.run('true')).status, 'ok')
  nothingIsLeft(t, master)
})

test('programs that see no /proc are traced all the same', async (t) => {
  const master = await createMaster(t, { proc: 'none' })
  for (const options of [{ syscalls: true }, { files: { read: ['/**'] } }, { learn: true }]) {
    const result = await master.run('true', [], { trace: options })
    t.is(result.status, 'ok')
    t.true(trace(result).complete)
  }
})

test('limits hold for traced runs', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const files = { read: ['/**'] }
  const spinning = await program(master, 'spin', 'int main(void) { for (;;) getppid(); }')
  t.like(await master.run(spinning, [], { limits: { wallTimeMs: 300 }, trace: { files } }), {
    status: 'time-limit',
    limit: 'wall',
  })
  const cpu = await master.run(spinning, [], { limits: { cpuTimeMs: 200 }, trace: { syscalls: true } })
  t.like(cpu, { status: 'time-limit', limit: 'cpu' })
  t.true(trace(cpu).complete)
  const output = await master.run('sh', ['-c', 'while :; do echo x; done'], {
    limits: { outputBytes: 1000 },
    trace: { files },
  })
  t.like(output, { status: 'output-limit', limit: 'stdout' })
  t.is(output.stdout.length, 1000)
  nothingIsLeft(t, master)
})

test('a call that the policy kills for is named, also under a trace', async (t) => {
  const master = await createMaster(t)
  const path = await program(master, 'strict', one('socket(AF_INET, SOCK_STREAM, 0)'))
  const seccomp = {
    defaultAction: 'SCMP_ACT_ALLOW' as const,
    syscalls: [{ names: ['socket'], action: 'SCMP_ACT_KILL_PROCESS' as const }],
  }
  const result = await master.run(path, [], { seccomp, trace: { syscalls: true } })
  t.like(result, { status: 'disallowed-syscall', syscall: 'socket' })
  t.true(trace(result).complete)
})

test('an abort ends a traced run, and everybody in it', async (t) => {
  const master = await createMaster(t)
  const controller = new AbortController()
  const run = master.spawn('sh', ['-c', 'sleep 1000 & sleep 1000'], {
    signal: controller.signal,
    trace: { files: { read: ['/**'], write: ['/**'], execute: ['/**'] } },
  })
  await run.started
  controller.abort()
  await t.throwsAsync(within(Promise.resolve(run), 'the abort'), { name: 'AbortError' })
  nothingIsLeft(t, master)
  t.is((await master.run('true')).status, 'ok')
})

test('a signal reaches the program', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  for (let round = 0; round < 20; round++) {
    const run = master.spawn('./behave', ['hold'], { trace: { syscalls: round % 2 === 0, files: { read: ['/**'] } } })
    await run.started
    t.true(run.kill('SIGTERM'))
    t.like(await within(Promise.resolve(run), 'the end'), { status: 'signaled', signal: 'SIGTERM' })
  }
  nothingIsLeft(t, master)
})

test('what a traced run leaves behind dies with it', async (t) => {
  const master = await createMaster(t)
  const files = { read: ['/**'], write: ['/**'], execute: ['/**'] }
  const result = await master.run('sh', ['-c', 'setsid sleep 1000 > /dev/null & echo done'], { trace: { files } })
  t.like(result, { status: 'ok', stdout: 'done\n' })
  t.true(trace(result).complete)
  nothingIsLeft(t, master)
})

test('traced and untraced runs overlap, and each has its own end', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const holder = master.spawn('./behave', ['hold'])
  await holder.started
  const tracedHolder = master.spawn('./behave', ['hold'], { trace: { files: { read: ['/**'] } } })
  await tracedHolder.started
  const results = await Promise.all(
    Array.from({ length: 12 }, async (_, index) => {
      const options: RunOptions =
        index % 3 === 0 ? {} : { trace: index % 3 === 1 ? { syscalls: true } : { files: { read: ['/**'] } } }
      const result = await master.run('sh', ['-c', `sleep 0.0${index}; (sleep 1000 &) ; exit ${index + 1}`], options)
      t.is(result.trace === undefined, index % 3 === 0)
      return result
    }),
  )
  results.forEach((result, index) => t.like(result, { exitCode: index + 1 }))
  t.true(isAlive(holder.pid as number))
  t.true(isAlive(tracedHolder.pid as number))
  tracedHolder.kill('SIGKILL')
  t.like(await tracedHolder, { signal: 'SIGKILL' })
  t.true(isAlive(holder.pid as number))
  holder.kill('SIGKILL')
  t.like(await holder, { signal: 'SIGKILL' })
  nothingIsLeft(t, master)
})

test('a reset ends a traced run', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('sh', ['-c', 'while :; do :; done'], { trace: { syscalls: true } })
  await run.started
  const [, result] = await within(Promise.all([master.reset(), run]), 'the reset')
  t.like(result, { status: 'signaled', signal: 'SIGKILL' })
  nothingIsLeft(t, master)
  t.is((await master.run('true', [], { trace: { syscalls: true } })).status, 'ok')
})

test('whose supervisor is killed fails by that, and the container goes on', async (t) => {
  const master = await createMaster(t)
  const other = master.spawn('sleep', ['1000'])
  await other.started
  const run = master.spawn('sh', ['-c', 'echo here; sleep 1000 & sleep 1000'], {
    trace: { syscalls: ['write'] },
  })
  // It writes under the eyes of its supervisor.
  await new Promise((resolve) => run.stdout.once('data', resolve))
  const [supervisor] = supervisors(master)
  if (supervisor === undefined) return t.fail('there is no supervisor')
  process.kill(supervisor, 'SIGKILL')
  await t.throwsAsync(within(Promise.resolve(run), 'the end'), { code: 'ERR_HOTCELL_TRACE', message: /supervisor/ })
  t.true(isAlive(other.pid as number))
  t.is((await master.run('true', [], { trace: { syscalls: true } })).status, 'ok')
  other.kill('SIGKILL')
  await other
  nothingIsLeft(t, master)
})

test('events can be iterated, and who stops iterating holds nothing back', async (t) => {
  const master = await createMaster(t)
  const path = await program(master, 'chatty', one('for (int i = 0; i < 20000; i++) getppid(); errno = 0'))
  const run = master.spawn(path, [], { trace: { syscalls: ['getppid'] } })
  let count = 0
  for await (const event of run.trace) if (event.type === 'syscall') count++
  t.is(count, 20_000)
  t.is((await run).status, 'ok')
  const second = master.spawn(path, [], { trace: { syscalls: ['getppid'] } })
  for await (const event of second.trace) if (event.type === 'syscall') break
  t.is(trace(await within(Promise.resolve(second), 'the end')).calls['getppid']?.count, 20_000)
  // Nobody has traced this one.
  const plain = master.spawn('true')
  for await (const _ of plain.trace) t.fail()
  await plain
})

test('what onEvent throws ends the run', async (t) => {
  const master = await createMaster(t)
  const boom = new Error('boom')
  const onEvent = (): never => {
    throw boom
  }
  const path = await program(master, 'endless', 'int main(void) { for (;;) getppid(); }')
  for (const run of [
    () => master.run(path, [], { trace: { syscalls: true, onEvent } }),
    () => Promise.resolve(master.spawn(path, [], { trace: { syscalls: true, onEvent } })),
    () => master.execve({ args: [path], trace: { syscalls: true, onEvent } }),
  ]) {
    t.is(await t.throwsAsync(within(run(), 'the end')), boom)
  }
  nothingIsLeft(t, master)
})

test.serial('nothing is left open', async (t) => {
  const master = await createMaster(t)
  const once = (): Promise<unknown> =>
    Promise.allSettled([
      master.run('true', [], { trace: { syscalls: true } }),
      master.run('/nowhere', [], { trace: { syscalls: true } }),
      master.spawn('true', [], { trace: { files: {} } }).result,
      master.execve({ args: ['true'], trace: { learn: true } }),
    ])
  await once()
  const inside = (): number => openFdsOf(master.pid)
  await new Promise((resolve) => setImmediate(resolve))
  const [before, beforeInside] = [openFds().size, inside()]
  for (let round = 0; round < 10; round++) await once()
  await new Promise((resolve) => setImmediate(resolve))
  t.is(openFds().size, before)
  if (mode === 'root' || mode === 'degraded') t.is(inside(), beforeInside)
  t.deepEqual(descendantsOf(master.pid), [])
})

function openFdsOf(pid: number): number {
  try {
    return Number(/^FDSize:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  } catch {
    return 0
  }
}

test('what forks for ever ends with its run: traced, alone and beside others', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const files = { read: ['/**'], write: ['/**'], execute: ['/**'] }
  // Its main process ends, and what goes on forks for ever.
  const bomb = (watch?: TraceOptions): Promise<RunResult> =>
    within(master.run('./behave', ['bomb', '10'], watch === undefined ? {} : { trace: watch }), 'the bomb')
  t.is((await bomb({ files })).status, 'ok')
  nothingIsLeft(t, master)
  const holder = master.spawn('./behave', ['hold'], { trace: { files } })
  await holder.started
  // Everybody is stopped for a moment, to catch those that fork; so is the supervisor of the one that goes on.
  t.is((await bomb()).status, 'ok')
  t.is((await bomb({ syscalls: ['clone'] })).status, 'ok')
  t.true(isAlive(holder.pid as number))
  holder.kill('SIGTERM')
  t.like(await within(Promise.resolve(holder), 'the end'), { status: 'signaled', signal: 'SIGTERM' })
  nothingIsLeft(t, master)
})

test('a sync point that fails, an abort there, and the end of the container', async (t) => {
  const master = await createMaster(t)
  const boom = new Error('boom')
  const options: TraceOptions = { syscalls: true }
  const refused = master.execve({
    args: ['true'],
    trace: options,
    syncFunc: () => {
      throw boom
    },
  })
  t.is(await t.throwsAsync(within(refused, 'the refusal')), boom)
  const controller = new AbortController()
  const syncFunc = (): Promise<void> => {
    controller.abort()
    return new Promise(() => undefined)
  }
  const aborted = master.execve({ args: ['true'], trace: options, syncFunc }, { signal: controller.signal })
  await t.throwsAsync(within(aborted, 'the abort'), { name: 'AbortError' })
  nothingIsLeft(t, master)
  const run = master.spawn('sh', ['-c', 'while :; do :; done'], { trace: options })
  await run.started
  await master.destroy()
  await t.throwsAsync(within(Promise.resolve(run), 'the end'), { code: 'ERR_HOTCELL_CLOSED' })
})

test('killed at any moment, a traced run ends, and the next one is as good as the first', async (t) => {
  const master = await createMaster(t)
  for (let round = 0; round < 40; round++) {
    const controller = new AbortController()
    const run = master.run('sh', ['-c', 'sleep 100 & sleep 100'], {
      signal: controller.signal,
      trace: { syscalls: round % 2 === 0, files: { read: ['/**'], execute: ['/**'], write: ['/**'] } },
    })
    setTimeout(() => controller.abort(), round / 4)
    await t.throwsAsync(within(run, `the end of round ${round}`), { name: 'AbortError' })
  }
  t.is((await master.run('true', [], { trace: { syscalls: true } })).status, 'ok')
  nothingIsLeft(t, master)
})

test('runs that watch the same share a filter', async (t) => {
  const master = await createMaster(t)
  const once = async (): Promise<void> => {
    t.is((await master.run('true', [], { trace: { files: { read: ['/**'], execute: ['/**'] } } })).status, 'ok')
  }
  await once()
  const before = threads(master.pid).length
  for (let round = 0; round < 20; round++) await once()
  t.is(threads(master.pid).length, before)
})

async function learn(master: Master, file: string, args: string[]): Promise<Learned> {
  const result = await master.run(file, args, { trace: { learn: true } })
  const { learned } = trace(result)
  if (!(learned instanceof Learned)) throw new Error(`nothing was learned: ${JSON.stringify(result)}`)
  return learned
}

test('what was learned of a C program runs it again, and nothing else', async (t) => {
  const master = await createMaster(t)
  const path = await program(
    master,
    'learned',
    `int main(int argc, char **argv) {
  (void)argv;
  if (argc == 2) { int fd = open("/w/made", O_CREAT | O_WRONLY, 0600); if (fd < 0) return errno; close(fd); }
  if (argc == 3) return socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? errno : 0;
  if (argc == 4) return mkdir("/w/directory", 0700) < 0 ? errno : 0;
  return 0;
}`,
  )
  const plain = await learn(master, path, [])
  t.is((await master.run(path, [], { seccomp: plain.seccomp })).status, 'ok')
  t.like(await master.run(path, ['1', '2'], { seccomp: plain.seccomp }), { exitCode: 1 })
  t.like(await master.run(path, ['1', '2', '3'], { seccomp: plain.seccomp }), { exitCode: 1 })
  const merged = mergeLearned(plain, await learn(master, path, ['1', '2']), await learn(master, path, ['1']))
  t.is((await master.run(path, ['1', '2'], { seccomp: merged.seccomp })).status, 'ok')
  t.is((await master.run(path, ['1'], { seccomp: merged.seccomp })).status, 'ok')
  t.like(await master.run(path, ['1', '2', '3'], { seccomp: merged.seccomp }), { exitCode: 1 })
  t.true(merged.landlock.write.includes('/w'))
  t.true(merged.files.write.includes('/w/made'))
  t.deepEqual(merged.landlock.execute, [path])
  // Under the rules that were learned.
  t.is((await master.run(path, ['1'], { trace: { files: merged.files } })).status, 'ok')
  t.like(await master.run(path, ['1', '2', '3'], { trace: { files: merged.files, onViolation: 'kill' } }), {
    status: 'disallowed-file',
    path: '/w/directory',
    operation: 'write',
  })
})

for (const [name, file, args] of [
  ['gcc', 'gcc', ['-pipe', 'hello.c', '-o', 'hello']],
  ['python3', 'python3', ['-c', 'import json, random; print(json.dumps([1]))']],
  ['node', process.execPath, ['-e', 'console.log(1)']],
] as const) {
  test(`what was learned of ${name} runs it again`, async (t) => {
    if (name === 'node' && !file.startsWith('/usr/')) return void t.pass('node is not in /usr here')
    const master = await createMaster(t)
    await master.copyIn(Buffer.from(hello), 'hello.c')
    // Threads find each other waiting, or not: some calls are made now and then.
    let learned = await learn(master, file, [...args])
    for (let round = 0; round < 4; round++) learned = mergeLearned(learned, await learn(master, file, [...args]))
    const again = await master.run(file, [...args], { seccomp: learned.seccomp })
    t.like(again, { status: 'ok' }, String(again.stderr))
    t.false(JSON.stringify(learned.seccomp).includes('"mkdir"'))
    if (await hostHas('landlock')) {
      const watched = await master.run(file, [...args], { landlock: learned.landlock, trace: { files: learned.files } })
      t.like(watched, { status: 'ok' }, String(watched.stderr))
      const both = { seccomp: learned.seccomp, landlock: learned.landlock }
      const bound = await master.run(file, [...args], both)
      t.like(bound, { status: 'ok' }, String(bound.stderr))
      // A script that is not in it is not read.
      await master.copyIn(Buffer.from('1'), '/tmp/other/file')
      t.not((await master.run(file, ['/tmp/other/file'], { landlock: { ...learned.landlock, read: [] } })).status, 'ok')
    }
    t.true(learned.complete)
    t.true(learned.landlock.execute.length > 0)
  })
}

test('what was learned of a script has the script and its interpreter', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('#!/bin/sh\necho "$0" ran\n'), 'script', { mode: 0o755 })
  const learned = await learn(master, './script', [])
  t.true(learned.files.execute.includes('/w/script'), JSON.stringify(learned.files))
  t.true(learned.files.execute.some((path) => path !== '/w/script'))
  if (!(await hostHas('landlock'))) return
  const both = { seccomp: learned.seccomp, landlock: learned.landlock }
  t.like(await master.run('./script', [], both), { status: 'ok', stdout: './script ran\n' })
  // Without the right to it, it is not executed.
  const execute = (learned.landlock.execute ?? []).filter((path) => !path.startsWith('/w'))
  await rejects(t, master.run('./script', [], { landlock: { ...learned.landlock, execute } }), 'EACCES')
})
