// Programs on terminals: `tty` of run, spawn and execve.
import { readdirSync } from 'node:fs'
import test from 'ava'
import { HotcellError, pipeline, Pool, type Execution, type Master, type Terminal } from '../index.js'
import { install } from './support/compile.js'
import { openFds } from './support/counters.js'
import { aborts, rejects } from './support/errors.js'
import { createMaster, createUnfiltered, masterOptions, mode } from './support/mode.js'
import { inContainer, requires } from './support/requires.js'
import { bytes } from './support/streams.js'
import { until, within } from './support/waiting.js'

/** What a terminal shows, from its beginning on. */
class Screen {
  text = ''
  readonly #terminal: Terminal
  #wake: () => void = () => undefined

  constructor(terminal: Terminal) {
    this.#terminal = terminal
    terminal.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      this.text += chunk
      this.#wake()
    })
    terminal.stdout.once('close', () => this.#wake())
  }

  /** Waits until this has been shown, behind what was waited for before; what came until then. */
  async shows(what: string | RegExp): Promise<string> {
    const next = async (): Promise<string> => {
      for (;;) {
        const found = typeof what === 'string' ? this.text.indexOf(what) : this.text.search(what)
        if (found >= 0) {
          const length = typeof what === 'string' ? what.length : (this.text.match(what)?.[0].length ?? 0)
          const shown = this.text.slice(0, found + length)
          this.text = this.text.slice(found + length)
          return shown
        }
        if (this.#terminal.stdout.closed) throw new Error(`it ended with ${JSON.stringify(this.text)}`)
        await new Promise<void>((wake) => {
          this.#wake = wake
        })
      }
    }
    return await within(next(), `${what} on the screen, which has ${JSON.stringify(this.text.slice(-500))}`)
  }

  type(keys: string): void {
    this.#terminal.stdin.write(keys)
  }
}

/** The program of these tests on a terminal. */
async function start(master: Master, ...args: string[]): Promise<[run: Execution<'utf8'>, screen: Screen]> {
  await install(master, 'terminal')
  const run = master.spawn('./terminal', args, { tty: true })
  return [run, new Screen(run)]
}

const found = (pts: number, columns = 80, rows = 24): string =>
  [
    ...[0, 1, 2].map((fd) => `${fd} /dev/pts/${pts}`),
    'leads 1',
    'foreground 1',
    'session 1',
    'tty OK',
    `size ${columns} ${rows}`,
    '',
  ].join('\r\n')

test('a program finds a terminal of its own, which leads its session', async (t) => {
  const master = await createMaster(t)
  await install(master, 'terminal')
  t.like(await master.run('./terminal', ['report'], { tty: true }), { status: 'ok', stdout: found(0), stderr: '' })
  const tty = { columns: 132, rows: 43 }
  t.is((await master.run('./terminal', ['report'], { tty })).stdout, found(0, 132, 43))
  t.is((await master.spawn('./terminal', ['report'], { tty })).stdout, found(0, 132, 43))
  t.is((await master.run('sh', ['-c', 'tty; stty size'], { tty })).stdout, '/dev/pts/0\r\n43 132\r\n')
  // Without, there is none.
  t.regex((await master.run('./terminal', ['report'])).stdout, /^0 ENOTTY\n/)
})

test('it does so without a /proc, under each profile, with limits, Landlock and a sync point', async (t) => {
  const bare = await createMaster(t, { proc: 'none' })
  await install(bare, 'terminal')
  t.is((await bare.run('./terminal', ['report'], { tty: true })).stdout, found(0))
  const master = await createMaster(t)
  await install(master, 'terminal')
  for (const seccomp of ['off', 'default', 'judge'] as const) {
    t.is((await master.run('./terminal', ['report'], { tty: true, seccomp })).stdout, found(0), seccomp)
  }
  // What a program may ask is its policy's affair: this one does not let it look for a name.
  t.regex(
    (await master.run('./terminal', ['report'], { tty: true, seccomp: 'strict' })).stdout,
    /^0 EACCES\r\n.*leads 1/s,
  )
  const limits = { cpuTimeMs: 10_000, wallTimeMs: 60_000, memoryBytes: 64 * 1024 * 1024, processes: 16 }
  t.is((await master.run('./terminal', ['report'], { tty: true, limits })).stdout, found(0))
  const landlock = { execute: ['/w'], read: ['/dev'], write: ['/dev'], whenUnsupported: 'degrade' } as const
  t.is((await master.run('./terminal', ['report'], { tty: true, landlock })).stdout, found(0))
  let shown: Promise<Buffer> | undefined
  let waited = false
  const result = await master.execve({
    args: ['./terminal', 'report'],
    tty: true,
    onTerminal: ({ stdout }) => {
      shown = bytes(stdout)
    },
    syncFunc: () => {
      waited = true
    },
  })
  t.is(result.status, 'ok')
  t.true(waited)
  t.is(String(await shown), found(0))
})

test('TERM is what the environment says, or one that all know', async (t) => {
  const args = ['-c', 'echo "<$TERM>"']
  const master = await createMaster(t)
  t.is((await master.run('/bin/sh', args, { tty: true })).stdout, '<xterm-256color>\r\n')
  t.is((await master.run('/bin/sh', args, { tty: true, env: { TERM: 'vt100' } })).stdout, '<vt100>\r\n')
  // A whole environment is taken by its word, and no terminal needs no TERM.
  t.is((await master.run('/bin/sh', ['-c', 'env | grep TERM'], { tty: true, env: ['PATH=/bin'] })).stdout, '')
  t.is((await master.run('/bin/sh', ['-c', 'env | grep TERM'])).stdout, '')
  const own = await createMaster(t, { env: { PATH: '/usr/bin:/bin', TERM: 'linux' } })
  t.is((await own.run('/bin/sh', args, { tty: true })).stdout, '<linux>\r\n')
})

test('what is typed is echoed, what is an error is shown as well, and the input has an end', async (t) => {
  const master = await createMaster(t)
  const input = 'one\ntwo\n'
  t.like(await within(master.run('cat', [], { tty: true, input }), 'cat'), {
    status: 'ok',
    stdout: 'one\r\ntwo\r\none\r\ntwo\r\n',
  })
  t.like(await within(master.run('cat', [], { tty: true, input: 'part' }), 'cat'), { stdout: 'partpart' })
  t.like(await within(master.run('cat', [], { tty: true }), 'cat'), { status: 'ok', stdout: '' })
  // As often as somebody reads to the end.
  const twice = await within(master.run('sh', ['-c', 'cat; cat; cat'], { tty: true, input: 'x\n' }), 'three')
  t.like(twice, { status: 'ok', stdout: 'x\r\nx\r\n' })
  t.is((await master.run('sh', ['-c', 'echo out; echo err >&2'], { tty: true })).stdout, 'out\r\nerr\r\n')
  const source = (async function* () {
    yield 'from '
    yield 'a stream\n'
  })()
  const fed = await within(master.run('sh', ['-c', 'read x; echo "<$x>"'], { tty: true, input: source }), 'a stream')
  t.regex(fed.stdout, /<from a stream>\r\n$/)
})

test('lines of more than a terminal holds are all read', async (t) => {
  const master = await createMaster(t)
  const input = `${'x'.repeat(99)}\n`.repeat(3000)
  const result = await within(master.run('wc', ['-c'], { tty: true, input }), 'wc')
  // Of echoes the kernel drops what it has no room for.
  t.regex(result.stdout, new RegExp(`\n${input.length}\r\n$`))
})

test('^C, ^\\ and ^D are keys', async (t) => {
  const master = await createMaster(t)
  for (const [key, result] of [
    ['\x03', { signal: 'SIGINT' }],
    ['\x1c', { signal: 'SIGQUIT' }],
    ['\x04', { exitCode: 0 }],
  ] as const) {
    const run = master.spawn('sh', ['-c', 'echo ready; exec cat'], { tty: true })
    const screen = new Screen(run)
    await screen.shows('ready\r\n')
    screen.type(key)
    t.like(await within(run, JSON.stringify(key)), result)
  }
})

test('in raw mode keys are bytes and nothing is echoed', async (t) => {
  const [run, screen] = await start(await createMaster(t), 'raw')
  await screen.shows('raw\n')
  screen.type('\x03\x04\r\x1b[Aä')
  t.is(await screen.shows('<164>'), '<3><4><13><27><91><65><195><164>')
  screen.type('q')
  t.like(await run, { status: 'ok' })
})

test('another size is told', async (t) => {
  const [run, screen] = await start(await createMaster(t), 'sizes')
  await screen.shows('size 80 24\r\n')
  t.true(run.resize(120, 50))
  await screen.shows('size 120 50\r\n')
  t.true(run.resize(65_535, 1))
  await screen.shows('size 65535 1\r\n')
  for (const wrong of [0, -1, 1.5, 65_536, NaN]) {
    t.throws(() => run.resize(wrong, 24), { instanceOf: RangeError, message: /"columns"/ })
    t.throws(() => run.resize(80, wrong), { instanceOf: RangeError, message: /"rows"/ })
  }
  screen.type('\n')
  t.like(await run, { status: 'ok' })
  t.false(run.resize(80, 24))
})

test('without a terminal there is nothing to resize', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('true')
  const error = t.throws(() => run.resize(80, 24), { instanceOf: HotcellError, code: 'ERR_HOTCELL_NO_TTY' })
  t.regex(error?.message ?? '', /tty: \{ columns, rows \}/)
  await run
})

test('who looks no more hangs up', async (t) => {
  const master = await createMaster(t)
  const plain = master.spawn('sleep', ['1000'], { tty: true })
  plain.stdout.destroy()
  t.like(await within(plain, 'SIGHUP'), { status: 'signaled', signal: 'SIGHUP' })
  const [deaf, screen] = await start(master, 'deaf', '/w/after')
  // Taken, the keyboard does not end when the run is awaited.
  screen.type('x')
  await screen.shows('ready')
  deaf.stdout.destroy()
  t.like(await within(deaf, 'the end of the file'), { exitCode: 7 })
  t.is(String(await master.copyOut('/w/after')), 'EIO')
  // Nor is a hang-up that nobody can ever read or type.
  const blind = master.spawn('sh', ['-c', 'tty && ! read x'], { tty: true, stdin: 'ignore', stdout: 'ignore' })
  t.like(await within(blind, 'sh'), { status: 'ok', stdout: '' })
  // To stop typing is no hang-up.
  const quiet = master.spawn('sh', ['-c', 'read x; echo "<$x>"'], { tty: true })
  quiet.stdin.end()
  t.like(await within(quiet, 'sh'), { status: 'ok', stdout: '<>\r\n' })
})

test('what a run leaves on its terminal is killed with it', async (t) => {
  const master = await createMaster(t)
  await install(master, 'terminal')
  const result = await within(master.run('./terminal', ['linger'], { tty: true }), 'the run')
  t.like(result, { status: 'ok', stdout: 'left\r\n' })
  const run = master.spawn('sh', ['-c', 'nohup setsid sleep 1000 & sleep 1000 & echo started'], { tty: true })
  const screen = new Screen(run)
  await screen.shows('started')
  t.like(await within(run, 'the run'), { status: 'ok' })
  t.is((await master.run('sh', ['-c', 'echo /proc/[0-9]*'])).stdout.split(' ').length, 1)
})

test('a program may close all of it and come back by /dev/tty', async (t) => {
  const master = await createMaster(t)
  await install(master, 'terminal')
  t.like(await master.run('./terminal', ['late'], { tty: true }), { status: 'ok', stdout: 'late\r\n' })
})

test('several terminals at once are several', async (t) => {
  const master = await createMaster(t)
  await install(master, 'terminal')
  const runs = await Promise.all(
    Array.from({ length: 8 }, async (_, index) => {
      const run = master.spawn('sh', ['-c', 'tty; read x; echo "<$x>"'], { tty: { columns: 80 + index, rows: 24 } })
      const screen = new Screen(run)
      const name = /\/dev\/pts\/\d+/.exec(await screen.shows(/\/dev\/pts\/\d+\r\n/))?.[0]
      return { run, screen, name, index }
    }),
  )
  t.is(new Set(runs.map(({ name }) => name)).size, 8)
  for (const { screen, index } of runs) screen.type(`${index}\n`)
  for (const { run, screen, index } of runs) {
    t.regex(await screen.shows('>\r\n'), new RegExp(`<${index}>`))
    t.like(await run, { status: 'ok' })
  }
  t.is((await master.run('tty', [], { tty: true })).stdout, '/dev/pts/0\r\n')
})

test('an aborted run is dead with all that it has on its terminal', async (t) => {
  const master = await createMaster(t)
  for (const how of ['run', 'spawn', 'execve'] as const) {
    const controller = new AbortController()
    const { signal } = controller
    const reason = new Error(how)
    const args = ['-c', 'trap "" HUP INT TERM; sleep 1000 & sleep 1000'] as const
    const running: PromiseLike<unknown> =
      how === 'execve'
        ? master.execve({ args: ['/bin/sh', ...args], tty: true, onTerminal: () => undefined }, { signal })
        : master[how]('/bin/sh', args, { tty: true, signal })
    setImmediate(() => controller.abort(reason))
    await aborts(t, running, reason)
  }
  t.is((await master.run('sh', ['-c', 'echo /proc/[0-9]*'])).stdout.split(' ').length, 1)
  const controller = new AbortController()
  const run = master.spawn('sleep', ['1000'], { tty: true, signal: controller.signal })
  const reading = bytes(run.stdout)
  controller.abort()
  t.is((await t.throwsAsync(reading))?.name, 'AbortError')
  await t.throwsAsync(async () => await run, { name: 'AbortError' })
})

test('a limit of output is one of what is shown, and the others hold as well', async (t) => {
  const master = await createMaster(t)
  const limits = { outputBytes: 10_000 }
  for (const result of [
    await within(master.run('yes', [], { tty: true, limits }), 'run'),
    await within(master.spawn('yes', [], { tty: true, limits }), 'spawn'),
  ]) {
    t.like(result, { status: 'output-limit', limit: 'stdout' })
    t.is(result.stdout.length, 10_000)
  }
  const wall = await master.run('sleep', ['1000'], { tty: true, limits: { wallTimeMs: 100 } })
  t.like(wall, { status: 'time-limit', limit: 'wall' })
})

test('megabytes are shown, to a reader that is slow, and after the end', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const collected = await within(master.run('./behave', ['write', '3000000'], { tty: true }), 'run')
  t.is(collected.stdout.length, 3_000_000)
  const slow = master.spawn('./behave', ['write', '60000'], { tty: true })
  slow.stdout.pause()
  t.like(await within(slow, 'the end'), { status: 'ok', stdout: '' })
  t.is((await bytes(slow.stdout)).length, 60_000)
  // More than the pipe holds: what the kernel has of it at the end comes too.
  for (const length of [65_000, 66_000, 68_000]) {
    const full = master.spawn('./behave', ['write', String(length)], { tty: true })
    full.stdout.pause()
    t.like(await within(full, 'the end'), { status: 'ok' })
    t.is((await bytes(full.stdout)).length, length)
  }
  // And one that nobody reads at all holds the program back.
  const held = master.spawn('./behave', ['write', '3000000'], { tty: true })
  await held.started
  await master.ping()
  t.is((await within(held, 'the run')).stdout.length, 3_000_000)
})

test('a reset takes the terminals along', async (t) => {
  const master = await createMaster(t)
  const [run, screen] = await start(master, 'sizes')
  await screen.shows('size')
  await within(master.reset(), 'the reset')
  t.like(await run, { signal: 'SIGKILL' })
  t.is((await master.run('ls', ['/dev/pts'])).stdout, '')
  await install(master, 'terminal')
  t.is((await master.run('./terminal', ['report'], { tty: true })).stdout, found(0))
  await master.reset()
  await master.reset()
  t.is((await master.run('tty', [], { tty: true })).stdout, '/dev/pts/0\r\n')
})

test('a program that could not be started is an error, and leaves no terminal', async (t) => {
  const master = await createMaster(t)
  await rejects(t, master.run('absent', [], { tty: true }), 'ENOENT')
  const run = master.spawn('absent', [], { tty: true })
  t.is((await bytes(run.stdout).catch(() => Buffer.alloc(0))).length, 0)
  await rejects(t, run, 'ENOENT')
  let terminal: Terminal | undefined
  const param = { args: ['absent'], tty: true, onTerminal: (given: Terminal) => void (terminal = given) } as const
  await rejects(t, master.execve(param), 'ENOENT')
  t.false(terminal?.resize(80, 24))
  t.is((await master.run('tty', [], { tty: true })).stdout, '/dev/pts/0\r\n')
})

test('execve gives its terminal to a function', async (t) => {
  const master = await createMaster(t)
  await install(master, 'terminal')
  let screen: Screen | undefined
  let terminal: Terminal | undefined
  const running = master.execve({
    args: ['./terminal', 'sizes'],
    tty: { columns: 10, rows: 5 },
    onTerminal: (given) => {
      terminal = given
      screen = new Screen(given)
    },
  })
  // Called before there is a promise.
  t.not(terminal, undefined)
  await screen?.shows('size 10 5\r\n')
  t.true(terminal?.resize(11, 6))
  await screen?.shows('size 11 6\r\n')
  screen?.type('\n')
  t.like(await within(running, 'the end'), { status: 'ok' })
  t.false(terminal?.resize(11, 6))
  // Without one, nobody types and nobody looks.
  const alone = await within(
    master.execve({ args: ['sh', '-c', 'yes | head -c 500000; ! read x'], tty: true }),
    'alone',
  )
  t.is(alone.status, 'ok')
  const mine = new Error('mine')
  const failing = master.execve({
    args: ['sleep', '1000'],
    tty: true,
    onTerminal: () => {
      throw mine
    },
  })
  t.is(await t.throwsAsync(within(failing, 'the end')), mine)
})

test('descriptors are closed, however a run with a terminal ends', async (t) => {
  const master = await createMaster(t)
  const all = async (): Promise<void> => {
    await master.run('true', [], { tty: true })
    await master.run('cat', [], { tty: true, input: 'x\n' })
    await master.spawn('true', [], { tty: true })
    await t.throwsAsync(master.run('absent', [], { tty: true }))
    const run = master.spawn('sleep', ['1000'], { tty: true })
    run.stdin.write('x')
    run.stdout.destroy()
    await run
    await master.execve({ args: ['true'], tty: true, onTerminal: ({ stdin, stdout }) => void [stdin, stdout.resume()] })
    await t.throwsAsync(master.execve({ args: ['absent'], tty: true, onTerminal: () => undefined }))
  }
  await all()
  await until(() => ![...openFds().values()].some((name) => name === 'closing'), 'rest')
  const before = openFds().size
  const ofInit = (): number =>
    mode === 'root' || mode === 'degraded' ? readdirSync(`/proc/${master.pid}/fd`).length : 0
  const initBefore = ofInit()
  for (let i = 0; i < 5; i++) await all()
  await until(() => openFds().size <= before, 'every descriptor of ours closed')
  t.is(ofInit(), initBefore)
})

test('a pool’s container gives terminals, also lent; a stage of a pipeline is no place for one', async (t) => {
  const pool = await Pool.create({ size: 1, container: masterOptions() })
  t.teardown(() => pool.destroy())
  t.is((await pool.run('tty', [], { tty: true })).stdout, '/dev/pts/0\r\n')
  await pool.use(async (master) => {
    const [run, screen] = await start(master, 'sizes')
    await screen.shows('size 80 24')
    run.resize(90, 30)
    await screen.shows('size 90 30')
    screen.type('\n')
    t.like(await run, { status: 'ok' })
  })
  await t.throwsAsync(pipeline([{ args: ['true'], tty: true } as never, ['true']]), {
    instanceOf: TypeError,
    message: /stages\[0\]\.tty/,
  })
})

test('a traced program has a terminal like any other', async (t) => {
  const master = await createMaster(t)
  await install(master, 'terminal')
  const opened: string[] = []
  const result = await master.run('./terminal', ['report'], {
    tty: true,
    trace: {
      syscalls: ['openat'],
      onEvent: (event) => void opened.push(JSON.stringify(event)),
    },
  })
  t.like(result, { status: 'ok', stdout: found(0) })
  t.true(opened.some((event) => event.includes('/dev/tty')))
  const run = master.spawn('sh', ['-c', 'echo ready; exec cat'], {
    tty: true,
    trace: { files: {}, onViolation: 'log' },
  })
  const screen = new Screen(run)
  await screen.shows('ready')
  screen.type('\x03')
  t.like(await within(run, '^C'), { signal: 'SIGINT' })
})

// What somebody sits at.

const bash = requires('bash', inContainer('bash'))
bash('a shell has job control', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('bash', ['--norc', '-i'], {
    tty: true,
    env: { PATH: '/usr/bin:/bin', PS1: '$ ', TERM: 'dumb' },
  })
  const screen = new Screen(run)
  await screen.shows('$ ')
  screen.type('cat\n')
  await screen.shows('cat\r\n')
  screen.type('x\n')
  await screen.shows('x\r\nx\r\n')
  screen.type('\x1a')
  await screen.shows(/Stopped.*cat\r\n/)
  screen.type('fg\n')
  await screen.shows('cat\r\n')
  screen.type('\x03')
  await screen.shows('$ ')
  screen.type('echo $?\n')
  await screen.shows('130\r\n')
  screen.type('stty -a | head -n 1; exit 4\n')
  await screen.shows('rows 24; columns 80')
  t.like(await within(run, 'bash'), { exitCode: 4 })
})

bash('an interactive shell does what is put in, and ends with that', async (t) => {
  const master = await createMaster(t)
  const options = { tty: true, env: { PATH: '/usr/bin:/bin', TERM: 'dumb' }, input: 'echo $((6 * 7))\n' } as const
  const result = await within(master.run('bash', ['--norc', '-i'], options), 'bash')
  t.is(result.status, 'ok')
  t.regex(result.stdout, /\n42\r\n/)
})

requires('python3', inContainer('python3'))('python3 -i computes, and knows the end', async (t) => {
  const master = await createMaster(t)
  const result = await within(master.run('/usr/bin/python3', ['-i'], { tty: true, input: 'print(6 * 7)\n' }), 'python3')
  t.is(result.status, 'ok')
  t.regex(result.stdout, />>> .*\r\n42\r\n/s)
})

requires('vi', inContainer('vi'))('vi edits', async (t) => {
  const master = await createMaster(t)
  const env = { PATH: '/usr/bin:/bin', TERM: 'xterm', HOME: '/w' }
  const run = master.spawn('vi', ['-u', 'NONE', '/w/text'], { tty: { columns: 60, rows: 20 }, env })
  const screen = new Screen(run)
  await screen.shows('~')
  screen.type('ihello, terminal')
  await screen.shows('terminal')
  run.resize(40, 10)
  screen.type('\x1b')
  screen.type(':wq\r')
  t.like(await within(run, 'vi'), { status: 'ok' })
  t.is(String(await master.copyOut('/w/text')), 'hello, terminal\n')
})

requires('less', inContainer('less'))('less pages', async (t) => {
  const master = await createMaster(t)
  const lines = Array.from({ length: 100 }, (_, index) => `line ${index}`)
  await master.copyIn(Buffer.from(lines.join('\n')), '/w/text')
  const run = master.spawn('less', ['/w/text'], { tty: { columns: 40, rows: 11 } })
  const screen = new Screen(run)
  t.notRegex(await screen.shows('line 9'), /line 10/)
  screen.type(' ')
  await screen.shows('line 19')
  screen.type('G')
  await screen.shows('line 99')
  screen.type('q')
  t.like(await within(run, 'less'), { status: 'ok' })
  // From a pipe, keys come by /dev/tty.
  const piped = master.spawn('sh', ['-c', 'seq 1000 | less'], { tty: { columns: 40, rows: 11 } })
  const pipedScreen = new Screen(piped)
  await pipedScreen.shows('10')
  pipedScreen.type('q')
  t.like(await within(piped, 'less'), { status: 'ok' })
})

requires('top', inContainer('top'))('top shows the container', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('top', [], { tty: true })
  const screen = new Screen(run)
  await screen.shows('COMMAND')
  screen.type('q')
  t.like(await within(run, 'top'), { status: 'ok' })
})

// What somebody could do with it.

test('nothing can be typed for anybody else, and no other terminal is there', async (t) => {
  const reaching = ['tiocsti', 'tiocsti-high', 'tiocsti-tty', 'tiocsetd']
  for (const isFiltered of [true, false]) {
    const master = await (isFiltered ? createMaster : createUnfiltered)(t)
    await install(master, 'terminal')
    const { stdout, status } = await within(master.run('./terminal', ['inject'], { tty: true }), 'the run')
    t.is(status, 'ok')
    // Without a filter the kernel may let it, and echoes what that typed.
    const lines = stdout.trimEnd().replaceAll(/^x+/gm, '').split('\r\n')
    const attempted = new Map(lines.map((line) => line.split(' ') as [string, string]))
    // All that this reaches is its own terminal, which ends with it.
    for (const what of reaching) {
      if (isFiltered) t.is(attempted.get(what), 'EPERM', what)
      attempted.delete(what)
    }
    t.regex(attempted.get('pid-1') ?? '', /^(EPERM|EACCES|ENOENT)$/)
    attempted.delete('pid-1')
    t.deepEqual(Object.fromEntries(attempted), {
      tioclinux: isFiltered ? 'EPERM' : 'ENOTTY',
      tioccons: 'EPERM',
      tiocvhangup: 'EPERM',
      tiocgptpeer: 'EIO',
      tiocpkt: 'ENOTTY',
      console: 'ENOENT',
      tty0: 'ENOENT',
    })
    // The next one on a terminal of that number has nothing of it.
    t.is((await within(master.run('cat', [], { tty: true }), 'cat')).stdout, '')
  }
})

test('who has no terminal has no /dev/tty, and who has one had none before', async (t) => {
  const master = await createMaster(t)
  const open = 'exec 3<>/dev/tty'
  t.regex((await master.run('bash', ['-c', open])).stderr, /No such device or address/)
  t.regex((await master.run('sh', ['-c', ': </dev/ptmx'])).stderr, /cannot open/)
  t.is((await master.run('sh', ['-c', `${open}; echo through >&3`], { tty: true })).stdout, 'through\r\n')
  t.regex((await master.run('bash', ['-c', open])).stderr, /No such device or address/)
})

test('the mount of terminals is one of the container’s, made when it is asked for', async (t) => {
  const master = await createMaster(t)
  const find = ['-c', 'grep " /dev/pts " /proc/self/mountinfo']
  t.is((await master.run('sh', find)).stdout, '')
  const { stdout } = await master.run('sh', find, { tty: true })
  t.regex(stdout, /^\d+ \d+ \S+ \/ \/dev\/pts rw,nosuid,noexec,relatime - devpts .*mode=600,ptmxmode=666,max=32\r\n$/)
  t.is((await master.run('sh', ['-c', 'ls -A /dev/pts'])).stdout, 'ptmx\n')
  // Whoever is to have one owns it, and nobody owns the way to others.
  const owner = await master.run('sh', ['-c', 'id -u; stat -c "%u %a" /dev/pts/0'], { tty: true })
  t.regex(owner.stdout, /^(\d+)\r\n\1 600\r\n$/)
  if (mode !== 'rootless') {
    t.regex((await master.run('chmod', ['0', '/dev/pts/ptmx'])).stderr, /not permitted/)
  }
  t.like(await master.run('tty', [], { tty: true }), { status: 'ok' })
})

test('programs have pseudoterminals of their own, of the container’s, and not without end', async (t) => {
  const master = await createMaster(t)
  await install(master, 'terminal')
  t.is((await master.run('./terminal', ['own'], { tty: true })).stdout, '/dev/pts/1 through\r\n')
  const [hoarder, screen] = await start(master, 'hoard')
  t.regex(await screen.shows('\r\n'), /^31 ENOSPC/)
  const full = await rejects(t, master.run('true', [], { tty: true }), 'ENOSPC')
  t.regex(full.message, /at most 32 terminals/)
  // Other containers have their own.
  const other = await createMaster(t)
  t.like(await other.run('tty', [], { tty: true }), { status: 'ok' })
  hoarder.kill('SIGKILL')
  await hoarder
  t.is((await master.run('tty', [], { tty: true })).stdout, '/dev/pts/0\r\n')
})
