// pipeline: programs in different containers, joined by pipes.
import { createHash } from 'node:crypto'
import { PassThrough, Readable, Writable } from 'node:stream'
import test from 'ava'
import { HotcellError, pipeline, Pool, type PipelineOptions, type Stages } from '../index.js'
import { descendantsOf, livingDescendantsOf, openFds } from './support/counters.js'
import { aborts, rejects } from './support/errors.js'
import { createMaster, masterOptions, mode } from './support/mode.js'
import { requires } from './support/requires.js'
import { deferred, until, within } from './support/waiting.js'

const container = masterOptions()
const sh = (script: string): readonly ['sh', '-c', string] => ['sh', '-c', script]
const statuses = (stages: readonly { status: string }[]): string[] => stages.map(({ status }) => status)

/** A solution that squares, and an interactor that asks and judges. */
const game = {
  solution: sh('while read n; do echo $((n * n)); done'),
  interactor: sh('for n in 3 4 5; do echo $n; read a; echo "$n -> $a" >&2; test "$a" = $((n * n)) || exit 1; done'),
}
const ring = [
  { from: 'interactor', to: 'solution' },
  { from: 'solution', to: 'interactor' },
] as const

test('in a row, as a shell does', async (t) => {
  const { ok, stages, cause, causedBy, order, pipes } = await pipeline(
    [['seq', '1000'], ['grep', '7'], sh('sort -n | tail -n 1'), ['cat']],
    { container },
  )
  t.true(ok)
  t.is(stages[3].stdout, '997\n')
  t.deepEqual(statuses(stages), ['ok', 'ok', 'ok', 'ok'])
  t.deepEqual([cause, causedBy], ['all-ended', undefined])
  t.deepEqual([...order].sort(), [0, 1, 2, 3])
  // Nobody asked to see what passes: it is the kernel's own.
  t.deepEqual(
    pipes.map(({ bytes, captured }) => [bytes, captured.length]),
    Array.from({ length: 3 }, () => [undefined, 0]),
  )
  t.is(stages[0].stdout, '')
})

test('a single stage is a run', async (t) => {
  const { stages } = await pipeline([{ args: ['cat'], input: 'input', limits: { wallTimeMs: 10_000 } }], { container })
  t.like(stages[0], { status: 'ok', stdout: 'input', stderr: '', files: {} })
})

for (const [how, watched] of [
  ['directly', {}],
  ['seen', { captureBytes: 1000 }],
] as const) {
  test(`in a ring: a solution and its interactor, ${how}`, async (t) => {
    const result = await within(
      pipeline(game, { container, pipes: ring.map((pipe) => ({ ...pipe, ...watched })), wallTimeMs: 20_000 }),
      'the game',
    )
    t.true(result.ok)
    t.like(result.stages.interactor, { status: 'ok', stderr: '3 -> 9\n4 -> 16\n5 -> 25\n' })
    t.is(result.stages.solution.status, 'ok')
    t.deepEqual(
      result.pipes.map(({ bytes, captured }) => [bytes, String(captured)]),
      how === 'seen'
        ? [
            [6, '3\n4\n5\n'],
            [8, '9\n16\n25\n'],
          ]
        : [
            [undefined, ''],
            [undefined, ''],
          ],
    )
  })
}

for (const [how, watched] of [
  ['direct', {}],
  ['watched', { captureBytes: 10 }],
] as const) {
  test(`a stage that ends gives its readers EOF and its writers SIGPIPE (${how})`, async (t) => {
    const options = { container, pipes: [{ from: 0, to: 1, ...watched }] }
    const broken = await within(pipeline([['yes'], ['head', '-n', '1']], options), 'yes')
    t.deepEqual(statuses(broken.stages), ['signaled', 'ok'])
    t.like(broken.stages[0], { signal: 'SIGPIPE' })
    t.is(broken.stages[1].stdout, 'y\n')
    t.true(broken.ok)
    const ended = await within(pipeline([['false'], sh('cat; echo end')], options), 'false')
    t.deepEqual(statuses(ended.stages), ['nonzero-exit', 'ok'])
    t.is(ended.stages[1].stdout, 'end\n')
    t.false(ended.ok)
    const killed = await within(pipeline([sh('echo x; kill -9 $$'), ['cat']], options), 'kill')
    t.like(killed.stages[0], { status: 'signaled', signal: 'SIGKILL' })
    t.like(killed.stages[1], { status: 'ok', stdout: 'x\n' })
  })
}

test('a pipe that is watched passes on every byte', async (t) => {
  const seq = createHash('sha256')
  for (let i = 1; i <= 400_000; i++) seq.update(`${i}\n`)
  const expected = seq.digest('hex')
  const heard = createHash('sha256')
  const tee = new Writable({
    highWaterMark: 10_000,
    write: (chunk: Buffer, _encoding, callback) => {
      heard.update(chunk)
      setImmediate(callback)
    },
  })
  const { stages, pipes } = await within(
    pipeline([['seq', '400000'], ['sha256sum']], {
      container,
      pipes: [{ from: 0, to: 1, tee, captureBytes: 12 }],
    }),
    'the pipeline',
  )
  t.is(stages[1].stdout.slice(0, 64), expected)
  t.is(heard.digest('hex'), expected)
  t.is(pipes[0]?.bytes, 2_688_895)
  t.is(String(pipes[0]?.captured), '1\n2\n3\n4\n5\n6\n')
  t.false(tee.writableEnded)
  t.is(tee.listenerCount('error'), 0)
})

test('from one to many, and from many to one', async (t) => {
  const out = await within(
    pipeline(
      { source: ['seq', '100000'], all: ['wc', '-l'], first: ['head', '-n', '1'], sum: ['sha256sum'] },
      { container, pipes: (['all', 'first', 'sum'] as const).map((to) => ({ from: 'source', to })) },
    ),
    'one to many',
  )
  // A reader that goes early keeps nothing from the others.
  t.is(out.stages.all.stdout, '100000\n')
  t.is(out.stages.first.stdout, '1\n')
  t.is(out.stages.source.status, 'ok')
  for (const watched of [{}, { maxBytes: 1_000_000 }]) {
    const into = await within(
      pipeline(
        { a: ['seq', '3000'], b: ['seq', '5000'], count: ['wc', '-l'] },
        {
          container,
          pipes: [
            { from: 'a', to: 'count', ...watched },
            { from: 'b', to: 'count' },
          ],
        },
      ),
      'many to one',
    )
    t.is(into.stages.count.stdout, '8000\n')
  }
})

test('any descriptors', async (t) => {
  const { stages } = await within(
    pipeline(
      { a: sh('echo out; echo three >&3; echo err >&2; cat <&5'), b: sh('head -n 1 <&4; echo answer >&7') },
      {
        container,
        pipes: [
          { from: ['a', 3], to: ['b', 4] },
          { from: ['b', 7], to: ['a', 5] },
        ],
      },
    ),
    'the pipeline',
  )
  t.like(stages.a, { status: 'ok', stdout: 'out\nanswer\n', stderr: 'err\n' })
  t.like(stages.b, { status: 'ok', stdout: 'three\n' })
  // Both outputs into one pipe; what lies between two descriptors is /dev/null.
  const both = await pipeline(
    [sh('echo out; echo err >&2; ls -l /proc/self/fd/3 >&4'), ['sort'], sh('sed "s/.* //"')],
    {
      container,
      pipes: [
        { from: [0, 1], to: 1 },
        { from: [0, 2], to: 1 },
        { from: [0, 4], to: 2 },
      ],
    },
  )
  t.is(both.stages[1].stdout, 'err\nout\n')
  t.is(both.stages[2].stdout, '/dev/null\n')
})

test('programs may open their pipes anew', async (t) => {
  const { stages } = await pipeline([sh('echo x > /dev/stdout'), sh('cat /dev/stdin')], { container })
  t.is(stages[1].stdout, 'x\n')
})

test('maxBytes, to the byte', async (t) => {
  for (const [maxBytes, status] of [
    [1000, 'ok'],
    [999, 'output-limit'],
    [0, 'output-limit'],
  ] as const) {
    const { stages, pipes, ok } = await within(
      pipeline(
        [
          ['head', '-c', '1000', '/dev/zero'],
          ['wc', '-c'],
        ],
        {
          container,
          pipes: [{ from: 0, to: 1, maxBytes, captureBytes: 2000 }],
        },
      ),
      'the pipeline',
    )
    t.is(stages[0].status, status)
    t.is(stages[1].stdout, `${maxBytes}\n`)
    t.is(pipes[0]?.bytes, maxBytes)
    t.is(pipes[0]?.captured.length, maxBytes)
    t.is(ok, status === 'ok')
  }
  const endless = await within(
    pipeline([['yes'], ['cat']], { container, pipes: [{ from: 0, to: 1, maxBytes: 100_000 }] }),
    'yes',
  )
  t.like(endless.stages[0], { status: 'output-limit', limit: 'stdout' })
  t.is(endless.stages[1].stdout.length, 100_000)
})

test('limits are those of a stage', async (t) => {
  const { stages } = await within(
    pipeline(
      {
        spins: { args: sh('while :; do :; done'), limits: { cpuTimeMs: 100 } },
        writes: { args: ['yes'], limits: { outputBytes: 1000 } },
        sleeps: { args: ['sleep', '1000'], limits: { wallTimeMs: 100 } },
      },
      { container, pipes: [] },
    ),
    'the pipeline',
  )
  t.like(stages.spins, { status: 'time-limit', limit: 'cpu' })
  t.like(stages.writes, { status: 'output-limit', limit: 'stdout' })
  t.is(stages.writes.stdout.length, 1000)
  t.false('exitCode' in stages.writes)
  t.like(stages.sleeps, { status: 'time-limit', limit: 'wall' })
})

test('endWhen', async (t) => {
  // The one that fails does so once the fine one is over.
  const stages = { fails: sh('read x <&3; exit 3'), fine: ['true'], sleeps: ['sleep', '1000'] } as const
  const after = [{ from: ['fine', 3], to: ['fails', 3] }] as const
  const first = await within(pipeline(stages, { container, pipes: after, endWhen: 'first-failure' }), 'first-failure')
  t.deepEqual([first.cause, first.causedBy, first.ok], ['first-failure', 'fails', false])
  t.like(first.stages, { fails: { status: 'nonzero-exit' }, fine: { status: 'ok' }, sleeps: { status: 'killed' } })
  t.true(first.stages.sleeps.wallTimeMs >= 0 && 'cpuTimeMs' in first.stages.sleeps)
  t.true(first.order.indexOf('fails') < first.order.indexOf('sleeps'))

  const main = await within(pipeline(stages, { container, pipes: after, endWhen: 'main', main: 'fine' }), 'main')
  t.deepEqual([main.cause, main.causedBy], ['main-ended', 'fine'])
  t.is(main.stages.sleeps.status, 'killed')

  const last = await within(
    pipeline([['yes'], ['sleep', '1000'], ['true']], { container, pipes: [{ from: 0, to: 1 }], endWhen: 'main' }),
    'last',
  )
  t.deepEqual(statuses(last.stages), ['killed', 'killed', 'ok'])
  t.true(last.ok)

  // Whose reader has gone ends as it should.
  const pipes = await within(
    pipeline([['yes'], ['head', '-n', '1'], ['cat']], { container, endWhen: 'first-failure' }),
    'yes',
  )
  t.deepEqual([pipes.ok, pipes.cause], [true, 'all-ended'])
})

// Their programs are another subordinate id's, whom nobody but that one and root may trace.
const tracing = requires('the right to trace programs', mode !== 'rootless-ranges')

tracing('a deadlock ends by the wall time, and says who waited for what', async (t) => {
  for (const watched of [{}, { captureBytes: 100 }]) {
    const result = await within(
      pipeline(
        // The first one reads in a child of its own.
        { left: sh('cat > /dev/null; echo never'), right: ['cat'] },
        {
          container,
          pipes: [
            { from: 'left', to: 'right', ...watched },
            { from: 'right', to: 'left', ...watched },
          ],
          wallTimeMs: 1_500,
        },
      ),
      'the deadlock',
    )
    t.like(result, { ok: false, cause: 'wall-time-limit', causedBy: undefined, deadlock: true })
    t.like(result.stages.left, { status: 'time-limit', limit: 'wall' })
    t.deepEqual(result.stages.left.waiting, { operation: 'read', fd: 0, pipe: 1, stage: 'right' })
    t.deepEqual(result.stages.right.waiting, { operation: 'read', fd: 0, pipe: 0, stage: 'left' })
    t.true(result.wallTimeMs >= 1_490)
  }
})

tracing('out of time without a deadlock', async (t) => {
  const full = await within(pipeline([['yes'], ['sleep', '1000']], { container, wallTimeMs: 1_500 }), 'a full pipe')
  t.false(full.deadlock)
  t.deepEqual(full.stages[0].waiting, { operation: 'write', fd: 1, pipe: 0, stage: 1 })
  t.is(full.stages[1].waiting, undefined)
  t.deepEqual(statuses(full.stages), ['time-limit', 'time-limit'])

  const held = new PassThrough()
  const host = await within(
    pipeline([{ args: ['cat'], input: held }, ['true']], { container, pipes: [], wallTimeMs: 1_500 }),
    'an input that never comes',
  )
  t.deepEqual(host.stages[0].waiting, { operation: 'read', fd: 0 })
  t.like(host, { deadlock: false, ok: false })
  t.is(host.stages[1].status, 'ok')
  t.true(held.destroyed)
})

test('out of time: what still runs is ended, whatever it waits for', async (t) => {
  const { ok, cause, stages } = await within(
    pipeline([['cat', '/dev/zero'], ['sleep', '1000'], ['true']], {
      container,
      pipes: [{ from: 0, to: 1 }],
      wallTimeMs: 200,
    }),
    'the pipeline',
  )
  t.deepEqual([ok, cause, ...statuses(stages)], [false, 'wall-time-limit', 'time-limit', 'time-limit', 'ok'])
})

test('files in, files out, inputs', async (t) => {
  const { stages } = await pipeline(
    [
      {
        args: sh('cat data -; echo side > side'),
        files: { data: Buffer.from('file ') },
        input: Readable.from(['stream']),
        collect: ['side', 'absent'],
      },
      { args: ['tr', 'a-z', 'A-Z'], env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' }, cwd: '/tmp' },
    ],
    { container, encoding: 'buffer' },
  )
  t.deepEqual(stages[1].stdout, Buffer.from('FILE STREAM'))
  t.deepEqual(Object.keys(stages[0].files), ['side'])
  t.is(String(stages[0].files['side']), 'side\n')
})

test('an input that fails ends the pipeline, and is why', async (t) => {
  const failure = new Error('the source failed')
  async function* input(): AsyncGenerator<string> {
    yield 'x'
    throw failure
  }
  t.is(
    await t.throwsAsync(within(pipeline([{ args: ['cat'], input: input() }, ['cat']], { container }), 'cat')),
    failure,
  )
  const tee = new Writable({ write: (_chunk, _encoding, callback) => callback(failure) })
  const failing = pipeline([['yes'], ['cat']], { container, pipes: [{ from: 0, to: 1, tee }] })
  t.is(await t.throwsAsync(within(failing, 'yes')), failure)
})

test('a stage that cannot be started: none is left', async (t) => {
  const [a, b] = [await createMaster(t), await createMaster(t)]
  const run = (stages: Stages): Promise<unknown> => within(pipeline(stages, { pipes: [] }), 'the pipeline')
  await rejects(
    t,
    run([
      { master: a, args: sh('sleep 1000') },
      { master: b, args: ['absent'] },
    ]),
    'ENOENT',
  )
  // This is known before any program is let go.
  await rejects(
    t,
    run([
      { master: a, args: ['touch', 'ran'] },
      { master: b, args: ['true'], cwd: '/absent' },
    ]),
    'ENOENT',
  )
  t.is((await a.run('ls', ['-A'])).stdout, '')
  await t.throwsAsync(run([{ master: a, args: ['sleep', '1000'] }, { master: b, args: ['true'], argz: 1 } as never]), {
    instanceOf: TypeError,
    message: /"argz"/,
  })
  t.deepEqual([...livingDescendantsOf(a.pid), ...livingDescendantsOf(b.pid)], [])
  await t.throwsAsync(
    pipeline([['true']], { container: { ...container, mounts: [{ source: '/absent', target: '/x' }] } }),
    { instanceOf: HotcellError },
  )
})

test('a container that is lost', async (t) => {
  const [a, b] = [await createMaster(t), await createMaster(t)]
  const heard = deferred()
  const tee = new Writable({
    write: (_chunk, _encoding, callback) => {
      heard.resolve()
      callback()
    },
  })
  const running = pipeline(
    [
      { master: a, args: sh('echo here; exec sleep 1000') },
      { master: b, args: ['cat'] },
    ],
    { pipes: [{ from: 0, to: 1, tee }] },
  )
  const end = rejects(t, running, 'ERR_HOTCELL_CONTAINER_LOST')
  await within(heard.promise, 'the first word')
  process.kill(a.pid, 'SIGKILL')
  await within(end, 'the pipeline')
  t.deepEqual(livingDescendantsOf(b.pid), [])
})

test('aborting', async (t) => {
  await aborts(t, pipeline([['true']], { container, signal: AbortSignal.abort('early') }), 'early')
  const [a, b] = [await createMaster(t), await createMaster(t)]
  const controller = new AbortController()
  const stages = [a, b].map((master) => ({ master, args: ['cat'] as const }))
  const running = pipeline(stages, {
    pipes: [
      { from: 0, to: 1 },
      { from: 1, to: 0 },
    ],
    signal: controller.signal,
  })
  await until(() => [a, b].every(({ pid }) => livingDescendantsOf(pid).length === 1), 'both programs')
  controller.abort('enough')
  await aborts(t, within(running, 'the pipeline'), 'enough')
  t.deepEqual([...livingDescendantsOf(a.pid), ...livingDescendantsOf(b.pid)], [])
  t.is((await a.run('echo', ['x'])).stdout, 'x\n')
})

test('containers of a pool: all at once, so that nobody waits for ever', async (t) => {
  const pool = await Pool.create({ size: 3, min: 1, spare: 0, container })
  t.teardown(() => pool.destroy())
  const games = Array.from({ length: 12 }, (_, i) =>
    i % 3 === 2
      ? pool.run('echo', ['between']).then(({ status }) => status)
      : pipeline(game, { pool, pipes: ring }).then(
          ({ stages }) => `${stages.solution.status} ${stages.interactor.status}`,
        ),
  )
  const results = await within(Promise.all(games), 'the games')
  t.deepEqual(
    results,
    results.map((_, i) => (i % 3 === 2 ? 'ok' : 'ok ok')),
  )
  await t.throwsAsync(pipeline([['true'], ['true'], ['true'], ['true']], { pool }), { instanceOf: RangeError })
  // Whoever gives up while it has some, but not all, gives them back.
  const [got, release] = [deferred(), deferred()]
  const user = pool.use(async () => {
    got.resolve()
    await release.promise
  })
  await got.promise
  const controller = new AbortController()
  const greedy = pipeline([['true'], ['true'], ['true']], { pool, signal: controller.signal })
  const behind = pool.run('echo', ['behind'])
  await until(() => pool.stats.busy === 3, 'the others to be kept')
  t.is(pool.stats.queued, 2)
  controller.abort('enough')
  await aborts(t, greedy, 'enough')
  t.is((await within(behind, 'the run behind')).stdout, 'behind\n')
  release.resolve()
  await user
  t.is((await pipeline([['true'], ['true'], ['true']], { pool })).ok, true)
  t.like(pool.stats, { lost: 0, failed: 0, queued: 0 })
})

test('a pool loses a cell that was kept for somebody', async (t) => {
  const pool = await Pool.create({ size: 2, spare: 0, container })
  t.teardown(() => pool.destroy())
  // At the same time, so that they are two.
  const both = deferred()
  const pids: number[] = []
  const take = (): Promise<void> =>
    pool.use(({ pid }) => {
      if (pids.push(pid) === 2) both.resolve()
      return both.promise
    })
  await pipeline([sh('true'), sh('true')], { pool })
  await Promise.all([take(), take()])
  const [got, release] = [deferred<number>(), deferred()]
  const user = pool.use(async ({ pid }) => {
    got.resolve(pid)
    await release.promise
  })
  const used = await got.promise
  const waiting = pipeline([['echo', 'x'], ['cat']], { pool })
  await until(() => pool.stats.busy === 2, 'the other one to be kept')
  process.kill(pids.find((pid) => pid !== used) as number, 'SIGKILL')
  await until(() => pool.stats.lost === 1, 'the loss')
  release.resolve()
  await user
  t.is((await within(waiting, 'the pipeline')).stages[1].stdout, 'x\n')
  await until(() => pool.stats.idle === 2, 'the resets')
  t.like(pool.stats, { busy: 0, queued: 0, size: 2 })
})

test('options that are not understood', async (t) => {
  const wrong: [unknown, object, RegExp][] = [
    [[], {}, /at least one stage/],
    [7, {}, /"stages" option must be an array or an object/],
    [['true'], {}, /"stages\[0\]"/],
    [[['true']], { endwhen: 'all' }, /Did you mean "endWhen"\?/],
    [[['true']], { endWhen: 'never' }, /"endWhen"/],
    [[['true']], { main: 1 }, /"main" option must be a stage: 0/],
    [[['true']], { wallTimeMs: 0 }, /"wallTimeMs"/],
    [[['true']], { pipes: [{ from: 0, to: 'x' }] }, /"pipes\[0\].to" option must be a stage/],
    [[['true']], { pipes: [{ from: [0, -1], to: 0 }] }, /"pipes\[0\].from\[1\]"/],
    [[['true']], { pipes: [{ from: 0, to: 0, max: 1 }] }, /no option "pipes\[0\].max"/],
    [[['true']], { pipes: [{ from: 0, to: [0, 1] }] }, /another pipe begins at/],
    [[['true'], { args: ['true'], input: 'x' }], {}, /standard input/],
    [[['true']], { pipes: [{ from: 0, to: 0, tee: 1 }] }, /"pipes\[0\].tee" option must be a Writable/],
    [{ a: { args: ['true'], fds: [] } }, {}, /"stages\['a'\].fds" option is the business/],
    [{ a: { args: ['true'], master: 1 } }, {}, /"stages\['a'\].master" option must be a Master/],
    [{ a: { args: ['true'], files: { x: 7 } } }, {}, /files\['x'\]/],
    [[['true']], { pool: 1 }, /"pool" option must be a Pool/],
  ]
  for (const [stages, options, message] of wrong) {
    await t.throwsAsync(pipeline(stages as Stages, options as PipelineOptions<never>), { message }, String(message))
  }
})

test.serial('two hundred pipelines leave nothing', async (t) => {
  const pool = await Pool.create({ size: 2, spare: 0, container })
  t.teardown(() => pool.destroy())
  const round = async (i: number): Promise<void> => {
    const watched = i % 2 === 0 ? { captureBytes: 10 } : {}
    const pipes = ring.map((pipe) => ({ ...pipe, ...watched }))
    if (i % 10 === 9) await t.throwsAsync(pipeline([['cat'], ['absent']], { pool }), { instanceOf: HotcellError })
    else if (i % 10 === 8) t.true((await pipeline([['yes'], ['head', '-n', '1']], { pool })).ok)
    else t.true((await pipeline(game, { pool, pipes })).ok)
  }
  for (let i = 0; i < 10; i++) await round(i)
  await until(() => pool.stats.idle === 2, 'the resets')
  const before = { fds: openFds().size, children: descendantsOf(process.pid).length }
  for (let i = 0; i < 200; i++) await round(i)
  await until(() => pool.stats.idle === 2, 'the resets')
  await until(() => openFds().size <= before.fds, 'the descriptors').catch(() => undefined)
  t.deepEqual({ fds: openFds().size, children: descendantsOf(process.pid).length }, before)
  t.like(pool.stats, { lost: 0, failed: 0, created: 2 })
})
