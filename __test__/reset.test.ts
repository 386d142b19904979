// reset: nothing of what runs can leave behind is left.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { defaultMounts } from '../index.js'
import { compile, install } from './support/compile.js'
import { livingDescendantsOf, isAlive, openFds } from './support/counters.js'
import { aborts, rejects } from './support/errors.js'
import { createMaster, createUnfiltered } from './support/mode.js'
import { within } from './support/waiting.js'

test('/w, /tmp and /dev/shm are empty again, and can be used as before', async (t) => {
  const master = await createMaster(t)
  const script =
    'for d in /w /tmp /dev/shm; do ls -A $d; mkdir -p $d/a/b || exit; echo x > $d/a/b/x || exit; stat -c "%a %u" $d; done'
  const first = await master.run('/bin/sh', ['-c', script])
  t.is(first.status, 'ok')
  for (let i = 0; i < 5; i++) {
    await master.reset()
    const again = await master.run('/bin/sh', ['-c', script])
    t.is(again.stdout, first.stdout)
    t.is(again.status, 'ok')
  }
})

test('a folder is like new, whatever small thing was done to it', async (t) => {
  const master = await createMaster(t)
  const look = 'for d in /w /tmp /dev/shm; do stat -c "%n %a %u %h %s %X" $d; ls -A $d; done'
  // What was not touched since the last reset stays as it is; this is the look of one that did.
  const changes = [
    ':',
    ':',
    'chmod 700 /w',
    'touch -d @7 /w',
    'for d in /w /tmp /dev/shm; do echo > $d/x; rm $d/x; done',
    'mkdir /w/x; rmdir /w/x; ln -s y /tmp/x; rm /tmp/x',
    ':',
    'echo > /dev/shm/only-here',
    'touch -d @7 -a /w',
  ]
  await master.reset()
  const { stdout: asNew } = await master.run('/bin/sh', ['-c', look.replace(' %X', '')])
  for (const change of changes) {
    t.is((await master.run('/bin/sh', ['-c', change])).status, 'ok')
    await master.reset()
    const { stdout } = await master.run('/bin/sh', ['-c', look])
    t.is(stdout.replaceAll(/ \d+$/gm, ''), asNew, change)
    t.notRegex(stdout, / 7$/m, change)
  }
})

test('a filter that a run had to itself is remembered by the reset', async (t) => {
  const master = await createMaster(t)
  const rlimits = [{ resource: 'msgqueue', soft: 100_000, hard: 100_000 }] as const
  const empty = { status: 'ok', stdout: '0 0 0 0 0\n' } as const
  for (let i = 0; i < 3; i++) {
    await install(master, 'leftovers')
    t.like(await master.run('./leftovers', ['make'], { rlimits, seccomp: 'off' }), { status: 'ok', stderr: '' })
    t.is((await master.run('true')).status, 'ok')
    await master.reset()
    await install(master, 'leftovers')
    t.like(await master.run('./leftovers', ['count'], { seccomp: 'off' }), empty)
    await master.reset()
    t.is((await master.run('true')).status, 'ok')
    // This one finds nothing to replace.
    await master.reset()
  }
})

test('requests from outside see the new tree', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('old'), 'a/x')
  await master.reset()
  await rejects(t, master.open('a/x'), 'ENOENT')
  await rejects(t, master.copyOut('a/x'), 'ENOENT')
  await master.copyIn(Buffer.from('new'), 'a/x')
  t.is((await master.run('cat', ['a/x'])).stdout, 'new')
  t.is(String(await master.copyOut('/w/a/x')), 'new')
  await master.symlink('a/x', 'link')
  await master.delete('a', { recursive: true })
  t.is((await master.run('ls', ['-A'])).stdout, 'link\n')
})

test('a file that was open before keeps its content, and its place is gone', async (t) => {
  const master = await createMaster(t)
  await using file = await master.open('x', 'w+')
  await master.reset()
  await file.writeFile('still')
  t.is((await file.stat()).size, 5)
  t.is((await master.run('ls', ['-A'])).stdout, '')
})

test('shared memory, semaphores, messages, message queues and keys are gone', async (t) => {
  const master = await createUnfiltered(t)
  const rlimits = [{ resource: 'msgqueue', soft: 100_000, hard: 100_000 }] as const
  const empty = async (): Promise<void> => {
    const path = await install(master, 'leftovers')
    t.is((await master.run(path, ['count'])).stdout, '0 0 0 0 0\n')
  }
  await empty()
  for (let i = 0; i < 3; i++) {
    t.like(await master.run('./leftovers', ['make'], { rlimits }), { status: 'ok', stderr: '' })
    t.is((await master.run('./leftovers', ['count'])).stdout, '1 1 1 1 1\n')
    await master.reset()
    await empty()
  }
})

test('runs end, whatever they left or are', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const run = master.spawn('./behave', ['hold'])
  await run.started
  const other = master.execve({ args: ['./behave', 'spin'] })
  await master.reset()
  t.like(await within(run, 'the first run'), { status: 'signaled', signal: 'SIGKILL' })
  t.like(await within(other, 'the second run'), { status: 'signaled', signal: 'SIGKILL' })
  t.deepEqual(livingDescendantsOf(master.pid), [])
  t.true(isAlive(master.pid))
  t.is((await master.execve({ args: ['true'] })).status, 'ok')
})

test('a program that holds the working directory, a mapping and a file does not keep reset waiting', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('/bin/sh', ['-c', 'mkdir d; cd d; exec 3> x; echo ready; cat'])
  const line = await new Promise((resolve) => run.stdout.once('data', resolve))
  t.is(String(line), 'ready\n')
  await within(master.reset(), 'reset')
  t.like(await run, { signal: 'SIGKILL' })
  t.is((await master.run('ls', ['-A'])).stdout, '')
})

test('a sync point that nobody passed is no obstacle', async (t) => {
  const master = await createMaster(t)
  let called!: () => void
  const atSyncPoint = new Promise<void>((resolve) => {
    called = resolve
  })
  const run = master.execve({
    args: ['true'],
    syncFunc: () => {
      called()
      return new Promise(() => undefined)
    },
  })
  await atSyncPoint
  await within(master.reset(), 'reset')
  t.like(await within(run, 'the run'), { status: 'signaled', signal: 'SIGKILL' })
  t.is((await master.execve({ args: ['true'] })).status, 'ok')
})

test('mounts keep their bounds, owners and modes', async (t) => {
  const master = await createMaster(t, {
    tmpfs: { sizeBytes: 1024 * 1024, inodes: 50 },
    mounts: [...defaultMounts(), { type: 'tmpfs', target: '/cache', sizeBytes: 2 * 1024 * 1024, noExec: true }],
  })
  const script = `awk '$5 == "/w" || $5 == "/tmp" || $5 == "/cache" || $5 == "/dev/shm" { print $5, $6, $NF }' /proc/self/mountinfo; stat -c '%n %a %u' /w /tmp /cache /dev/shm`
  const before = (await master.run('/bin/sh', ['-c', script])).stdout
  t.is(before.trim().split('\n').length, 8)
  await master.copyIn(Buffer.from('x'), '/cache/x')
  await master.reset()
  const after = (await master.run('/bin/sh', ['-c', script])).stdout
  t.deepEqual(after.split('\n').sort(), before.split('\n').sort())
  t.is((await master.run('ls', ['-A', '/cache'])).stdout, '')
})

test('a mount inside of a tmpfs is itself again, whatever a program put in its way', async (t) => {
  const source = mkdtempSync(join(tmpdir(), 'hotcell-reset-'))
  t.teardown(() => rmSync(source, { recursive: true }))
  chmodSync(source, 0o755)
  writeFileSync(join(source, 'f'), 'trusted')
  chmodSync(join(source, 'f'), 0o644)
  const master = await createMaster(t, { mounts: [...defaultMounts(), { source, target: '/w/data/in' }] })
  const script =
    'mkdir -p /w/data/in; mv /w/data /w/moved; mkdir -p /w/data/in; echo evil > /w/data/in/f; cat /w/data/in/f'
  // The parent may be the container's own, and then it stays where it is.
  await master.run('/bin/sh', ['-c', script])
  await master.reset()
  const after = await master.run('/bin/sh', ['-c', 'cat /w/data/in/f; touch /w/data/in/x && echo writable; ls /w'])
  t.is(after.stdout, 'trusteddata\n')
})

test('binds, links and other tmpfs inside of a tmpfs survive', async (t) => {
  const source = mkdtempSync(join(tmpdir(), 'hotcell-reset-'))
  t.teardown(() => rmSync(source, { recursive: true }))
  chmodSync(source, 0o777)
  writeFileSync(join(source, 'x'), 'bound')
  const master = await createMaster(t, {
    mounts: [
      ...defaultMounts(),
      { source, target: '/w/bound', readOnly: false },
      { source: join(source, 'x'), target: '/w/deep/er/file' },
      { type: 'tmpfs', target: '/w/bound/inner' },
      { type: 'tmpfs', target: '/tmp/other' },
    ],
    symlinks: [
      { target: 'bound/x', path: '/w/link' },
      { target: '/w', path: '/tmp/other/back' },
    ],
  })
  const script = 'cat bound/x deep/er/file link /tmp/other/back/bound/x; ls -A bound/inner /tmp/other'
  for (let i = 0; i < 3; i++) {
    t.is(
      (await master.run('/bin/sh', ['-c', script])).stdout,
      'boundboundboundbound/tmp/other:\nback\n\nbound/inner:\n',
    )
    t.is(
      (await master.run('/bin/sh', ['-c', 'echo y > bound/y; echo y > bound/inner/y; echo y > /tmp/other/y'])).status,
      'ok',
    )
    await master.reset()
  }
  t.is(readFileSync(join(source, 'y'), 'utf8'), 'y\n')
})

test('many files, and a tree too deep for any path, are gone', async (t) => {
  const master = await createMaster(t)
  const tree = await compile('tree')
  await master.copyIn(tree, '/tmp/tree')
  t.is((await master.execve({ args: ['/tmp/tree', 'deep', 'levels', '5000'] })).status, 'ok')
  t.is((await master.execve({ args: ['/tmp/tree', 'wide', 'files', '5000'] })).status, 'ok')
  await master.reset()
  t.is((await master.run('ls', ['-A', '/w', '/tmp'])).stdout, '/tmp:\n\n/w:\n')
})

test('a full tmpfs is empty again', async (t) => {
  const master = await createMaster(t, { tmpfs: { sizeBytes: 1024 * 1024 } })
  await rejects(t, master.copyIn(Buffer.alloc(2_000_000), 'x'), 'ENOSPC')
  await master.run('/bin/sh', ['-c', 'cat /dev/zero > x'])
  await rejects(t, master.copyIn(Buffer.from('x'.repeat(10_000)), 'y'), 'ENOSPC')
  await master.reset()
  await master.copyIn(Buffer.alloc(1_000_000), 'x')
  t.pass()
})

test.serial('a hundred resets leave no descriptor, here or in init', async (t) => {
  const master = await createMaster(t)
  await master.reset()
  const before = openFds().size
  for (let i = 0; i < 100; i++) {
    await master.copyIn(Buffer.from('x'), 'x')
    await master.reset()
  }
  t.is(openFds().size, before)
  t.is((await master.execve({ args: ['true'] })).status, 'ok')
})

test('resets that overlap, and what is asked for beside them', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const outcomes = await within(
    Promise.allSettled(
      Array.from({ length: 30 }, (_, i) =>
        i % 3 === 0
          ? master.reset()
          : i % 3 === 1
            ? master.execve({ args: ['/bin/true'] })
            : master.copyIn(Buffer.from('x'), 'x'),
      ),
    ),
    'everything',
  )
  for (const [index, outcome] of outcomes.entries()) {
    // A copy loses its place when a reset comes between its beginning and its end.
    if (outcome.status === 'rejected') t.true(index % 3 === 2, String(outcome.reason))
  }
  await master.reset()
  t.is((await master.run('ls', ['-A'])).stdout, '')
})

test('an aborted signal resets nothing; one that comes later rejects when the reset is done', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('x'), 'x')
  await aborts(t, master.reset({ signal: AbortSignal.abort('early') }), 'early')
  t.is((await master.run('ls', ['-A'])).stdout, 'x\n')
  const controller = new AbortController()
  const resetting = aborts(t, master.reset({ signal: controller.signal }), 'late')
  controller.abort('late')
  await resetting
  t.is((await master.run('ls', ['-A'])).stdout, '')
})
