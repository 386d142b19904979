// hotcell run: streams, exit codes, verdicts, files, walls and signals, of the built command on pipes.
import { execFile, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { constants } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { cli, cliArguments, startCli, temporaryFolder } from './support/cli.js'
import { descendantsOf, isAlive, livingDescendantsOf, processStatus } from './support/counters.js'
import { hostHas, mode } from './support/mode.js'
import { requiresSerial } from './support/requires.js'
import { until, within } from './support/waiting.js'

const landlock = requiresSerial('landlock', await hostHas('landlock'))

/** Whether a signal was sent to a process, and not delivered yet. */
function isPending(pid: number, signal: NodeJS.Signals): boolean {
  const pending = BigInt(`0x${processStatus(pid)?.get('ShdPnd') ?? '0'}`)
  return (pending & (1n << BigInt(constants.signals[signal] - 1))) !== 0n
}

test.serial('passes output and exit code through', async (t) => {
  const { code, stdout, stderr } = await cli(['run', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3'])
  t.is(code, 3)
  t.is(stdout, 'out\n')
  t.is(stderr, 'err\n')
})

test.serial('takes options up to the first word that is none', async (t) => {
  t.is((await cli(['run', 'echo', '--memory', '-x'])).stdout, '--memory -x\n')
  t.is((await cli(['run', '--', 'echo', '--', 'x'])).stdout, '-- x\n')
})

test.serial('passes large input through, whole', async (t) => {
  const input = Buffer.alloc(32 * 1024 * 1024)
  for (let at = 0; at < input.length; at += 4096) input.writeUInt32LE(at, at)
  const { stdout } = await cli(['run', 'sha256sum'], { input })
  t.is(stdout, `${createHash('sha256').update(input).digest('hex')}  -\n`)
})

test.serial('does not mind a program that leaves its input unread', async (t) => {
  const { code, stderr } = await cli(['run', 'true'], { input: Buffer.alloc(1024 * 1024) })
  t.is(code, 0)
  t.is(stderr, '')
})

test.serial('ends by itself when the program does, with its own input still open', async (t) => {
  const { process: child, ended } = startCli(['run', 'true'])
  t.is((await within(ended, 'the end of hotcell')).code, 0)
  child.stdin.end()
})

test.serial('a reader that goes away is SIGPIPE to the program', async (t) => {
  const { process: child, ended } = startCli(['run', 'yes'])
  await once(child.stdout, 'data')
  child.stdout.destroy()
  const { code, stderr } = await within(ended, 'the end of hotcell')
  t.is(code, 128 + 13)
  t.is(stderr, '')
})

test.serial('gives the program pipes, never the descriptors it was given itself', async (t) => {
  const folder = temporaryFolder(t)
  const output = join(folder, 'output')
  const [input, target] = [openSync('/dev/null', 'r'), openSync(output, 'w')]
  const program = 'readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; ls /proc/self/fd | wc -l'
  const { ended } = startCli(['run', '--', 'sh', '-c', program], { stdio: [input, target, target] })
  await ended
  closeSync(input)
  closeSync(target)
  // 0, 1, 2 and that of the listing.
  t.regex(readFileSync(output, 'utf8'), /^pipe:\[\d+\]\npipe:\[\d+\]\npipe:\[\d+\]\n4\n$/)
})

test.serial('a signal is 128 and its number, and said where it is not a matter of course', async (t) => {
  const crashed = await cli(['run', '--', 'sh', '-c', 'kill -SEGV $$'])
  t.is(crashed.code, 139)
  t.is(crashed.stderr, 'hotcell: signaled: ended by SIGSEGV\n')
  const asked = await cli(['run', '--', 'sh', '-c', 'kill -TERM $$'])
  t.is(asked.code, 143)
  t.is(asked.stderr, '')
})

test.serial('each limit has an exit code and a line', async (t) => {
  const endless = ['sh', '-c', 'while :; do :; done']
  const cpu = await cli(['run', '--cpu-time', '100ms', '--', ...endless])
  t.is(cpu.code, 124)
  t.is(cpu.stderr, 'hotcell: time-limit: more than 100.0 ms of CPU time\n')
  const wall = await cli(['run', '--wall-time=200ms', '--', 'sleep', '100'])
  t.is(wall.code, 124)
  t.is(wall.stderr, 'hotcell: time-limit: more than 200.0 ms of wall time\n')
  const file = await cli(['run', '--file-size', '1M', '--', 'dd', 'if=/dev/zero', 'of=x', 'bs=2M', 'count=1'])
  t.is(file.code, 122)
  t.true(file.stderr.endsWith('hotcell: output-limit: a file of more than 1 MiB\n'))
  const call = await cli(['run', '--seccomp', 'judge', '--', 'sh', '-c', 'ls; ls'])
  t.is(call.code, 120)
  t.regex(call.stderr, /^hotcell: disallowed-syscall: v?fork|clone/)
})

test.serial('memory is limited', async (t) => {
  const grow = 'x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done'
  const { code, stderr } = await cli(['run', '-m', '32M', '--wall-time', '60s', '--', 'sh', '-c', grow])
  t.is(code, 123)
  t.is(stderr, 'hotcell: memory-limit: more than 32 MiB of memory\n')
})

test.serial('output is cut at its limit, to the byte', async (t) => {
  const both = await cli(['run', '--output', '1000', '--', 'yes'])
  t.is(both.code, 122)
  t.is(both.stdout.length, 1000)
  t.is(both.stderr, 'hotcell: output-limit: more than 1000 bytes on stdout\n')
  const exact = await cli(['run', '--output', '5', '--', 'echo', '1234'])
  t.is(exact.code, 0)
  const errors = await cli(['run', '--output', '3', '--quiet', '--', 'sh', '-c', 'echo 1234 >&2; sleep 100'])
  t.is(errors.code, 122)
  t.is(errors.stderr, '123')
})

test.serial('what cannot be started has the codes of a shell', async (t) => {
  const absent = await cli(['run', 'no-such-program'])
  t.is(absent.code, 127)
  t.regex(absent.stderr, /^hotcell: ENOENT: cannot execute the program 'no-such-program'/)
  t.is((await cli(['run', '/usr'])).code, 126)
  const folder = await cli(['run', '--cwd', '/no/such', 'true'])
  t.is(folder.code, 125)
  t.regex(folder.stderr, /working directory/)
})

test.serial('the verdict as JSON goes where it is told to', async (t) => {
  const folder = temporaryFolder(t)
  const onStderr = await cli(['run', '--json', '--wall-time', '200ms', '--', 'sh', '-c', 'echo out; sleep 100'])
  t.is(onStderr.stdout, 'out\n')
  const verdict = JSON.parse(onStderr.stderr)
  t.like(verdict, {
    status: 'time-limit',
    limit: 'wall',
    hotcellExitCode: 124,
    command: ['sh', '-c', 'echo out; sleep 100'],
  })
  t.true(verdict.wallTimeMs >= 200)

  const file = await cli(['run', '--json=verdict.json', '--', 'sh', '-c', 'exit 7'], { cwd: folder })
  t.is(file.stderr, '')
  t.like(JSON.parse(readFileSync(join(folder, 'verdict.json'), 'utf8')), { status: 'nonzero-exit', exitCode: 7 })

  const target = openSync(join(folder, 'third'), 'w')
  const { ended } = startCli(['run', '--json=fd:3', 'true'], { stdio: ['ignore', 'pipe', 'pipe', target] })
  t.is((await ended).code, 0)
  closeSync(target)
  t.like(JSON.parse(readFileSync(join(folder, 'third'), 'utf8')), { status: 'ok', exitCode: 0 })

  const closed = await cli(['run', '--json=fd:77', 'true'])
  t.is(closed.code, 2)
  t.regex(closed.stderr, /--json fd:77: that descriptor is not open/)
})

test.serial('what did not run is told as JSON, too, and only once', async (t) => {
  const { code, stderr } = await cli(['run', '--json', 'no-such-program'])
  t.is(code, 127)
  t.like(JSON.parse(stderr), { status: 'error', error: { code: 'ENOENT', syscall: 'execve' }, hotcellExitCode: 127 })
})

test.serial('--stats says what was used, --quiet how it ended no more', async (t) => {
  t.regex((await cli(['run', '-s', 'true'])).stderr, /^hotcell: .* wall, .* CPU \(.* user, .* system\), .* memory.*\n$/)
  t.is((await cli(['run', '-q', '--wall-time', '100ms', 'sleep', '9'])).stderr, '')
})

test.serial('the environment is what was given, and nothing of the host', async (t) => {
  const args = ['run', '-e', 'A=1=2', '-eB', '--env=ABSENT', '--', 'env']
  const { stdout } = await cli(args, { env: { B: 'of the host', SECRET: 'x' } })
  t.deepEqual(stdout.trim().split('\n').sort(), ['A=1=2', 'B=of the host', 'PATH=/usr/local/bin:/usr/bin:/bin'])
})

test.serial('files go in and out', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'in:put'), 'one\n')
  mkdirSync(join(folder, 'out'))
  const args = [
    '--copy-in',
    'in\\:put',
    '--copy-in',
    'in\\:put:/tmp/a/b',
    '--copy-out',
    'sum',
    '--copy-out=/tmp/two:out',
  ]
  const program = 'cat in:put /tmp/a/b > sum; echo two > /tmp/two; exit 4'
  const { code, stderr } = await cli(['run', ...args, '--', 'sh', '-c', program], { cwd: folder })
  t.is(stderr, '')
  t.is(code, 4)
  t.is(readFileSync(join(folder, 'sum'), 'utf8'), 'one\none\n')
  t.is(readFileSync(join(folder, 'out', 'two'), 'utf8'), 'two\n')
})

test.serial('directories go in, come out as archives, and lie under changes', async (t) => {
  const folder = temporaryFolder(t)
  chmodSync(folder, 0o755)
  mkdirSync(join(folder, 'project', 'sub'), { recursive: true })
  writeFileSync(join(folder, 'project', 'sub', 'a'), 'one\n')
  writeFileSync(join(folder, 'project', 'b'), 'two\n')
  const copied = await cli(
    [
      'run',
      '--copy-in',
      'project',
      '--copy-out',
      'project:out.tar',
      '--',
      'sh',
      '-c',
      'cat project/sub/a; echo > project/c',
    ],
    { cwd: folder },
  )
  t.deepEqual([copied.code, copied.stdout, copied.stderr], [0, 'one\n', ''])
  const listed = execFileSync('tar', ['-tf', join(folder, 'out.tar')], { encoding: 'utf8' })
  t.deepEqual(listed.trim().split('\n').toSorted(), ['b', 'c', 'sub/', 'sub/a'])
  const noArchive = await cli(['run', '--copy-in', 'project', '--copy-out', 'project:out', 'true'], { cwd: folder })
  t.is(noArchive.code, 125)
  t.regex(noArchive.stderr, /EISDIR.*ends in \.tar/)

  const script = 'rm b; echo three > new; echo four >> sub/a'
  const args = ['--overlay', 'project:/w/p', '--cwd', '/w/p', '--changes', 'changes.json', '--', 'sh', '-c', script]
  const overlaid = await cli(['run', ...args], { cwd: folder })
  if (mode === 'rootless-ranges') return t.pass('what belongs to the user is nobody’s there')
  t.deepEqual([overlaid.code, overlaid.stderr], [0, ''])
  const changes: unknown = JSON.parse(readFileSync(join(folder, 'changes.json'), 'utf8'))
  t.deepEqual(changes, { '/w/p': { added: ['new'], changed: ['sub/a'], deleted: ['b'] } })
  t.is(readFileSync(join(folder, 'project', 'b'), 'utf8'), 'two\n')
  return undefined
})

test.serial('a timeline is a page', async (t) => {
  const folder = temporaryFolder(t)
  const { code, stderr } = await cli(['run', '--timeline', 'out.html', '--', 'sh', '-c', 'sleep 0.1; exit 3'], {
    cwd: folder,
  })
  t.deepEqual([code, stderr], [3, ''])
  const page = readFileSync(join(folder, 'out.html'), 'utf8')
  t.regex(page, /^<!doctype html>/i)
  t.regex(page, /sleep 0\.1; exit 3/)
  const refused = await cli(['run', '--timeline', 'absent/out.html', 'true'], { cwd: folder })
  t.regex(refused.stderr, /--timeline: ENOENT/)
})

test.serial('a file that is not there to be copied is no success, and does not hide a failure', async (t) => {
  const folder = temporaryFolder(t)
  const fine = await cli(['run', '--copy-out', 'absent', 'true'], { cwd: folder })
  t.is(fine.code, 125)
  t.regex(fine.stderr, /^hotcell: --copy-out: ENOENT/)
  t.is((await cli(['run', '--copy-out', 'absent', '--', 'sh', '-c', 'exit 9'], { cwd: folder })).code, 9)
  const early = await cli(['run', '--copy-in', 'absent', 'true'], { cwd: folder })
  t.is(early.code, 125)
  t.regex(early.stderr, /cannot open the host's file/)
})

test.serial('mounts: read-only, writable, in memory, instead of a default one', async (t) => {
  const folder = temporaryFolder(t)
  chmodSync(folder, 0o777)
  writeFileSync(join(folder, 'file'), 'of the host')
  chmodSync(join(folder, 'file'), 0o666)
  const readOnly = await cli(['run', '--ro-bind', '.:/w', '--', 'sh', '-c', 'cat file; echo x > file'], { cwd: folder })
  t.is(readOnly.stdout, 'of the host')
  t.regex(readOnly.stderr, /Read-only file system/)
  const writable = await cli(['run', '--bind', `${folder}:/data`, '--', 'sh', '-c', 'echo x > /data/file'])
  t.is(writable.code, 0, writable.stderr)
  t.is(readFileSync(join(folder, 'file'), 'utf8'), 'x\n')
  const memory = await cli(['run', '--tmpfs', '/memory:1M', '--', 'sh', '-c', 'head -c 2000000 /dev/zero > /memory/x'])
  t.regex(memory.stderr, /No space left/)
  const absent = await cli(['run', '--ro-bind', '/no/such', 'true'])
  t.is(absent.code, 125)
})

test.serial('--bare leaves the workspace, --symlink makes links', async (t) => {
  const args = ['--bare', '--ro-bind', '/usr', '--symlink', 'usr/bin:/bin', '--symlink', 'usr/lib:/lib']
  const { stdout, code } = await cli(['run', ...args, '--symlink', 'usr/lib64:/lib64', '--', 'ls', '/'])
  t.is(code, 0)
  t.deepEqual(stdout.split('\n').filter(Boolean), ['bin', 'dev', 'lib', 'lib64', 'proc', 'tmp', 'usr', 'w'])
})

test.serial('identity, names, network and /proc', async (t) => {
  const args = ['--user', '7:8', '--hostname', 'elsewhere', '--proc', 'none', '-C', '/tmp']
  const { stdout } = await cli(['run', ...args, '--', 'sh', '-c', 'id -u; id -g; uname -n; ls -A /proc; pwd'])
  // Without a user namespace there are no ids but the host's.
  const ids = mode === 'degraded' ? /^\d{8,}\n\d{8,}\n/ : /^7\n8\n/
  t.regex(stdout, ids)
  t.is(stdout.replace(/^\d+\n\d+\n/, ''), 'elsewhere\n/tmp\n')
})

test.serial('a seccomp profile in the OCI format is taken from a file', async (t) => {
  const folder = temporaryFolder(t)
  const policy = {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO' }],
  }
  writeFileSync(join(folder, 'policy.json'), JSON.stringify(policy))
  const { code, stderr } = await cli(['run', '--seccomp', 'policy.json', 'mkdir', 'x'], { cwd: folder })
  t.is(code, 1)
  t.regex(stderr, /Operation not permitted/)
  writeFileSync(join(folder, 'policy.json'), '{"defaultAction": "SCMP_ACT_NONSENSE"}')
  const wrong = await cli(['run', '--seccomp', 'policy.json', 'true'], { cwd: folder })
  t.is(wrong.code, 2)
  t.regex(wrong.stderr, /policy\.json.*SCMP_ACT_NONSENSE/s)
})

landlock('Landlock rules come from a file and from options, and add up', async (t) => {
  const folder = temporaryFolder(t)
  const rules = { read: ['/etc/ld.so.cache'], execute: ['/usr', '/lib', '/lib64', '/bin'], whenUnsupported: 'degrade' }
  writeFileSync(join(folder, 'rules.json'), JSON.stringify(rules))
  const args = ['run', '--landlock', 'rules.json', '--allow-write', '/w', '--allow-read', '/w', '--']
  const program = 'echo x > /w/a && cat /w/a; echo x > /tmp/b'
  const { stdout, stderr } = await cli([...args, 'sh', '-c', program], { cwd: folder })
  t.is(stdout, 'x\n')
  t.regex(stderr, /\/tmp\/b: Permission denied/)
  writeFileSync(join(folder, 'rules.json'), '[]')
  t.is((await cli([...args, 'true'], { cwd: folder })).code, 2)
})

test.serial('a signal is passed on; the program decides', async (t) => {
  const program = "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.05; done"
  const { process: child, ended, said } = startCli(['run', '--', 'sh', '-c', program])
  await said('ready\n')
  child.kill('SIGINT')
  const { code, signal, stdout } = await within(ended, 'the end of hotcell')
  t.is(signal, null)
  t.is(code, 5)
  t.is(stdout, 'ready\ncaught\n')
})

test.serial('of a signal that the program died of, hotcell dies', async (t) => {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const { process: child, ended, said } = startCli(['run', '--', 'sh', '-c', 'echo ready; while :; do :; done'])
    await said('ready\n')
    child.kill(name)
    const { code, signal, stderr } = await within(ended, 'the end of hotcell')
    t.is(code, null)
    t.is(signal, name)
    t.is(stderr, '')
  }
})

test.serial('the second signal kills', async (t) => {
  const program = "trap 'echo again' TERM; echo ready; while :; do sleep 0.05; done"
  const { process: child, ended, said } = startCli(['run', '--', 'sh', '-c', program])
  await said('ready\n')
  child.kill('SIGTERM')
  await said('again\n')
  child.kill('SIGTERM')
  const { code, signal } = await within(ended, 'the end of hotcell')
  t.is(signal, null)
  t.is(code, 128 + 9)
})

test.serial('while nothing can be interrupted, the second signal ends hotcell', async (t) => {
  const fifo = join(temporaryFolder(t), 'fifo')
  await promisify(execFile)('mkfifo', [fifo])
  const { process: child, ended } = startCli(['run', '--copy-in', fifo, 'true'])
  // It waits for somebody who writes when it has a child: the launcher, for the container that the file is for.
  await until(() => livingDescendantsOf(child.pid as number).length >= 2, 'the container')
  child.kill('SIGTERM')
  await until(() => !isPending(child.pid as number, 'SIGTERM'), 'the first signal to be taken')
  child.kill('SIGTERM')
  t.is((await within(ended, 'the end of hotcell')).signal, 'SIGTERM')
})

test.serial('Ctrl-Z stops hotcell and the program, and both go on', async (t) => {
  const { process: child, ended, said } = startCli(['run', '--', 'sh', '-c', 'echo ready; read x; echo $x'])
  await said('ready\n')
  const program = livingDescendantsOf(child.pid as number).at(-1) as number
  const isStopped = (pid: number): boolean => processStatus(pid)?.get('State')?.startsWith('T') === true
  child.kill('SIGTSTP')
  await until(() => isStopped(child.pid as number) && isStopped(program), 'both to stop')
  child.kill('SIGCONT')
  await until(() => !isStopped(program), 'the program to go on')
  child.stdin.end('more\n')
  const { code, stdout } = await within(ended, 'the end of hotcell')
  t.is(code, 0)
  t.is(stdout, 'ready\nmore\n')
})

test.serial('a signal ends hotcell also when what it waits for is a reader that stands still', async (t) => {
  // A pipe of the shell's, which nobody reads while the program fills it; its other end is a process that waits.
  // (hotcell has another input than that one waits for: Node makes its own non-blocking, for all that share it.)
  const script = '"$@" < /dev/null | { read first; echo "$first"; read go <&3; }'
  const command = [process.execPath, ...cliArguments(['run', '--', 'sh', '-c', 'echo $$; yes'])]
  const child = spawn('bash', ['-c', `exec 3<&0; ${script}`, 'bash', ...command], { stdio: ['pipe', 'pipe', 'ignore'] })
  t.teardown(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  const [what] = (await Promise.race([once(child.stdout, 'data'), ended])) as [unknown]
  t.true(Buffer.isBuffer(what), 'it ended before it began')
  const isCli = (pid: number): boolean => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('main.js')
  const pid = descendantsOf(child.pid as number).find(isCli) as number
  process.kill(pid, 'SIGTERM')
  await until(() => !isPending(pid, 'SIGTERM'), 'the first signal to be taken')
  // The program dies of it. The next one is for hotcell, once that is so.
  await until(() => {
    if (isAlive(pid)) process.kill(pid, 'SIGTERM')
    return !isAlive(pid)
  }, 'the end of hotcell')
  child.stdin.end('go\n')
  await ended
})

test.serial('without a terminal, --tty says so', async (t) => {
  const { code, stderr } = await cli(['run', '--tty', 'true'])
  t.is(code, 125)
  t.regex(stderr, /no terminal/)
})

test.serial('runs with its standard streams closed', async (t) => {
  const script = 'exec "$0" "$@" <&- >&- 2>&-'
  const args = ['-c', script, process.execPath, ...cliArguments(['run', '--', 'sh', '-c', 'cat; echo x; exit 6'])]
  const [code] = (await once(spawn('sh', args, { stdio: 'ignore' }), 'exit')) as [number]
  t.is(code, 6)
})
