// hotcell trace and hotcell learn, of the built command.
import { readFileSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import test from 'ava'
import { readFilter } from '../src/cli/trace/filter.js'
import { summaryTable, TraceFormatter } from '../src/cli/trace/format.js'
import { styleFor } from '../src/cli/style.js'
import { cli, startCli, temporaryFolder } from './support/cli.js'
import { hostHas } from './support/mode.js'
import { requiresSerial } from './support/requires.js'
import { within } from './support/waiting.js'

const landlock = requiresSerial('landlock', await hostHas('landlock'))
const plain = styleFor({})

test.serial('trace shows calls on standard error, and leaves the output alone', async (t) => {
  const { code, stdout, stderr } = await cli(['trace', '-e', 'openat,write', '--', 'sh', '-c', 'echo hi; exit 3'])
  t.is(code, 3)
  t.is(stdout, 'hi\n')
  t.regex(stderr, /^openat\(AT_FDCWD, "\/etc\/ld\.so\.cache", O_RDONLY\|O_CLOEXEC.*\) = \d+$/m)
  t.regex(stderr, /^write\(1, "hi\\n", 3\) = 3$/m)
  t.regex(stderr, /^\+\+\+ exited with 3 \+\+\+$/m)
  t.notRegex(stderr, /mmap/)
})

test.serial('errors, durations and times', async (t) => {
  const { stderr } = await cli(['trace', '-e', 'openat', '-T', '--times', '--', 'cat', 'absent'])
  t.regex(stderr, /^ +\d+\.\d{6} openat\(AT_FDCWD, "absent", O_RDONLY.*\) = -1 ENOENT <\d\.\d{6}>$/m)
})

test.serial('more than one process: each line says whose it is', async (t) => {
  const { stderr } = await cli(['trace', '-e', 'execve', '--', 'sh', '-c', 'cat </dev/null; true'])
  t.regex(stderr, /^\[pid \d+\] \+\+\+ started by \d+ \+\+\+$/m)
  t.regex(stderr, /^\[pid \d+\] execve\("\/usr\/bin\/cat", .*\) = 0$/m)
})

test.serial('all but some, and classes', async (t) => {
  const most = await cli(['trace', '-e', '!mmap,close', '--', 'true'])
  t.regex(most.stderr, /^brk\(/m)
  t.notRegex(most.stderr, /^(mmap|close)\(/m)
  const files = await cli(['trace', '-e', '%file', '--', 'true'])
  t.regex(files.stderr, /^openat\(/m)
  t.notRegex(files.stderr, /^(mmap|close|brk)\(/m)
})

test.serial('a summary alone, and both', async (t) => {
  const alone = await cli(['trace', '-c', '--', 'true'])
  t.regex(alone.stderr, /^% time +total +per call +calls +errors +syscall$/m)
  t.regex(alone.stderr, /^ +\d+\.\d +.* mmap$/m)
  t.regex(alone.stderr, /^ 100\.0 +.* total$/m)
  t.notRegex(alone.stderr, /mmap\(|exited/)
  const both = await cli(['trace', '--summary-too', '--', 'true'])
  t.regex(both.stderr, /^mmap\(.*% time/ms)
})

test.serial('into a file, as JSON', async (t) => {
  const folder = temporaryFolder(t)
  const { code, stderr } = await cli(['trace', '-o', 'events', '--json', '-e', 'openat', '--', 'sh', '-c', 'exit 2'], {
    cwd: folder,
  })
  t.is(code, 2)
  t.is(stderr, '')
  const lines = readFileSync(join(folder, 'events'), 'utf8').trimEnd().split('\n')
  const events = lines.map((line) => JSON.parse(line) as { type: string; name?: string })
  t.is(events[0]?.type, 'start')
  t.true(events.filter(({ type }) => type === 'syscall').every(({ name }) => name === 'openat'))
  t.like(events.at(-1), { type: 'result', status: 'nonzero-exit', exitCode: 2 })
})

test.serial('rules for files: logged by default, or the end', async (t) => {
  const rules = ['--read', '/usr/**', '--read', '/lib/', '--read', '/lib64/', '--read', '/etc/ld.so.cache']
  const logged = await cli(['trace', '-e', 'execve', ...rules, '--', 'cat', '/proc/version'])
  t.is(logged.code, 0)
  t.regex(logged.stderr, /^!!! openat: read "\/proc\/version": not allowed$/m)
  const killed = await cli(['trace', '-e', 'execve', ...rules, '--on-violation', 'kill', '--', 'cat', '/proc/version'])
  t.is(killed.code, 121)
  t.regex(killed.stderr, /^hotcell: disallowed-file: read \/proc\/version$/m)
})

test.serial('a reader of the trace that goes away does not end the program', async (t) => {
  const { process: child, ended } = startCli(['trace', '--', 'sh', '-c', 'cat >/dev/null; echo done'])
  await once(child.stderr, 'data')
  child.stderr.destroy()
  child.stdin.end(Buffer.alloc(1024 * 1024))
  const { code, stdout } = await within(ended, 'the end of hotcell')
  t.is(code, 0)
  t.is(stdout, 'done\n')
})

test('what a program names its files does not reach the terminal, nor pass for a constant', (t) => {
  const formatter = new TraceFormatter({ style: plain, times: false, durations: false })
  const call = (name: string, args: (string | number | null)[], result: number): string | undefined =>
    formatter.line({ type: 'syscall', pid: 1, tid: 1, name, args, result, startMs: 0, durationMs: 0 })
  t.is(call('open', ['\u001B[2J\u009B"\\', 'O_RDONLY'], 3), 'open("\\x1b[2J\\x9b\\"\\\\", O_RDONLY) = 3')
  t.is(
    call('openat', ['AT_FDCWD', 'O_RDONLY', 'O_RDONLY|O_CLOEXEC'], 3),
    'openat(AT_FDCWD, "O_RDONLY", O_RDONLY|O_CLOEXEC) = 3',
  )
  t.is(
    call('mmap', [null, 8192, 'PROT_READ', 'MAP_PRIVATE', -1, null], 4096),
    'mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, -1, NULL) = 0x1000',
  )
  t.is(
    call('openat', ['AT_FDCWD', '0x7ffe00000000', 'O_RDONLY'], -1),
    'openat(AT_FDCWD, 0x7ffe00000000, O_RDONLY) = -1',
  )
})

test('filters', (t) => {
  t.deepEqual(readFilter([]).syscalls, true)
  t.deepEqual(readFilter(['trace=read,write']).syscalls, ['read', 'write'])
  t.deepEqual(readFilter(['all', '!read']).syscalls, true)
  t.false(readFilter(['!read']).shows('read'))
  t.true((readFilter(['%file', '!openat']).syscalls as string[]).includes('statx'))
  t.false((readFilter(['%file', '!openat']).syscalls as string[]).includes('openat'))
  t.throws(() => readFilter(['read;write']), { message: /expected names/ })
})

test('the summary of nothing is a table, too', (t) => {
  t.regex(summaryTable({}, plain), /total/)
})

landlock('learn writes policies that suffice', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'a.txt'), 'a\n')
  writeFileSync(join(folder, 'b.txt'), 'b\n')
  const program = ['sh', '-c', 'read x; test $x = a || cat /proc/version; echo $x > out']
  const learned = await cli(['learn', '-i', 'a.txt', '-i', 'b.txt', '--', ...program], { cwd: folder })
  t.is(learned.code, 0, learned.stderr)
  t.is(learned.stdout, '')
  t.regex(learned.stderr, /run 2 of 2.*under both policies it ends in the same way: exit code 0/s)
  const seccomp = JSON.parse(readFileSync(join(folder, 'seccomp.json'), 'utf8'))
  t.is(seccomp.defaultAction, 'SCMP_ACT_ERRNO')
  const policies = ['--seccomp', 'seccomp.json', '--landlock', 'landlock.json']
  const again = await cli(['run', ...policies, '--', ...program], { cwd: folder, input: 'b\n' })
  t.is(again.code, 0, again.stderr)
  const other = await cli(['run', ...policies, '--', 'mkdir', '/tmp/x'], { cwd: folder })
  t.not(other.code, 0)

  const refused = await cli(['learn', '--', 'true'], { cwd: folder })
  t.is(refused.code, 2)
  t.regex(refused.stderr, /seccomp\.json is there already: pass --force/)
})

test.serial('learn as JSON, with standard input for each run, and a program that fails', async (t) => {
  const folder = temporaryFolder(t)
  const { code, stdout, stderr } = await cli(
    ['learn', '--json', '--no-verify', '-n', '2', '--', 'sh', '-c', 'cat >&2; exit 4'],
    {
      cwd: folder,
      input: 'from outside\n',
    },
  )
  t.is(code, 1)
  t.deepEqual(Object.keys(JSON.parse(stdout)), ['seccomp', 'landlock', 'sufficient'])
  t.regex(stderr, /run 2 of 2: exit code 4; what it would do then is not learned\n {4}from outside/)
  t.is((await cli(['run', '--no-config', 'true'], { cwd: folder })).code, 0)
})
