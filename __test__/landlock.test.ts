// Rules for files and ports of one run. Their walls are the kernel's: what is tested is that they are the ones asked for.
import test from 'ava'
import type { LandlockRules, Master, RunResult } from '../index.js'
import { install } from './support/compile.js'
import { createMaster, hostHas } from './support/mode.js'
import { requires } from './support/requires.js'

const has = await hostHas('landlock')
const landlock = requires('landlock', has)

const programs: LandlockRules = {
  read: ['/etc', '/dev', '/proc'],
  write: ['/dev/null'],
  execute: ['/usr', '/lib', '/lib64', '/bin'],
}

function sh(master: Master, script: string, rules: LandlockRules): Promise<RunResult<string>> {
  return master.run('sh', ['-c', script], { landlock: { ...programs, ...rules } })
}

landlock('files are read, written and executed where a rule says so, and nowhere else', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('content\n'), '/w/in/file')
  await install(master, 'behave', '/w/in/behave')
  const write = [...(programs.write ?? []), '/w']
  t.is((await sh(master, 'cat /w/in/file', { read: [...(programs.read ?? []), '/w/in'] })).stdout, 'content\n')
  t.is((await sh(master, 'cat /w/in/file 2>/dev/null; echo $?', {})).stdout, '1\n')
  t.is((await sh(master, 'echo x >/w/new; echo $?', { write })).stdout, '0\n')
  t.is((await sh(master, 'echo x 2>/dev/null >/w/new; echo $?', {})).stdout.trim(), '2')
  t.is((await sh(master, 'rm /w/new; mkdir /w/folder; mv /w/folder /w/other; echo $?', { write })).stdout, '0\n')
  t.is(
    (await sh(master, '/w/in/behave exit 3; echo $?', { execute: [...(programs.execute ?? []), '/w'] })).stdout,
    '3\n',
  )
  t.is((await sh(master, '/w/in/behave exit 3; echo $?', { write })).stdout, '126\n')
  // Of what other runs may do nothing is said.
  t.is((await master.run('cat', ['/w/in/file'])).stdout, 'content\n')
})

landlock('a rule holds the file, whatever its name becomes', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('secret\n'), '/w/secret')
  await master.copyIn(Buffer.from('open\n'), '/w/open')
  const read = [...(programs.read ?? []), '/w/open']
  const script =
    'cat open; ln -s secret link; cat link; cat ../w/secret; cat /proc/self/cwd/secret; mv secret open; cat open'
  const { stdout } = await master.run('sh', ['-c', script], {
    landlock: { ...programs, read, write: ['/dev/null', '/w'] },
  })
  t.is(stdout, 'open\n')
})

landlock('children and threads are bound, and nothing lifts it', async (t) => {
  const master = await createMaster(t)
  const script = '(sh -c "cat /w/file" & wait); unshare -U cat /w/file; exec cat /w/file'
  await master.copyIn(Buffer.from('secret\n'), '/w/file')
  t.is((await sh(master, script, {})).stdout, '')
})

landlock('ports that may be bound and connected to', async (t) => {
  const master = await createMaster(t)
  const script = [
    'import socket',
    'def attempt(what, port):',
    '  try:',
    '    s = socket.socket(); getattr(s, what)(("127.0.0.1", port)); return "ok"',
    '  except OSError as error: return str(error.errno)',
    'print(attempt("bind", 8080), attempt("bind", 8081), attempt("connect", 8082), attempt("connect", 8083))',
  ].join('\n')
  const rules: LandlockRules = { ...programs, bind: [8080], connect: [8082] }
  const { stdout, stderr } = await master.run('python3', ['-c', script], { landlock: rules })
  // EACCES, and ECONNREFUSED where nobody listens.
  t.is(stdout, 'ok 13 111 13\n', stderr)
})

landlock('it goes along with seccomp, limits, a sync point and descriptors', async (t) => {
  const master = await createMaster(t)
  const limits = { memoryBytes: 64 * 1024 * 1024, processes: 4 }
  for (const seccomp of ['default', 'judge', 'off'] as const) {
    const result = await master.execve({
      args: ['cat', '/w/file'],
      landlock: programs,
      limits,
      seccomp,
      syncFunc: () => undefined,
    })
    t.is(result.status, 'nonzero-exit')
  }
})

test('a path that is not there is an error that names it, and the container goes on', async (t) => {
  const master = await createMaster(t)
  const run = master.run('true', [], { landlock: { ...programs, write: ['/w/absent'] } })
  const codes = has ? 'ENOENT' : undefined
  const error = await t.throwsAsync(run, codes === undefined ? undefined : { code: codes, message: /\/w\/absent/ })
  t.truthy(error)
  t.is((await master.run('true')).status, 'ok')
})

test('where it is too much to ask for, degrading is a choice', async (t) => {
  const master = await createMaster(t)
  const { status } = await master.run('true', [], { landlock: { ...programs, whenUnsupported: 'degrade' } })
  t.is(status, 'ok')
  if (!has)
    await t.throwsAsync(master.run('true', [], { landlock: programs }), { code: /^(ENOSYS|EOPNOTSUPP)$/ as never })
})
