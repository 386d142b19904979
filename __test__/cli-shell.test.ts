// hotcell shell, and run --tty: on a real terminal, which script(1) makes.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { Execution } from '../src/execution.js'
import { cli, cliArguments, temporaryFolder } from './support/cli.js'
import { onPath, requiresSerial } from './support/requires.js'
import { within } from './support/waiting.js'

const hasTerminals = typeof (Execution.prototype as { resize?: unknown }).resize === 'function'
const terminal = requiresSerial('terminals and script', hasTerminals && onPath('script'))

const shellQuoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** hotcell on a terminal of 100 columns and 30 rows. What is written to `type` are keys. */
function onTerminal(
  t: ExecutionContext,
  args: readonly string[],
  before = 'stty cols 100 rows 30',
): {
  type(keys: string): void
  shows(text: string | RegExp): Promise<string>
  ended(): Promise<{ code: number; shown: string }>
} {
  const command = [process.execPath, ...cliArguments(args)].map(shellQuoted).join(' ')
  // What stty says before and after is how the terminal was left.
  const script = `${before}\necho before $(stty -g); ${command}; code=$?; echo; echo after $(stty -g); exit $code`
  const child = spawn('script', ['-qec', script, '/dev/null'], {
    env: { ...process.env, TERM: 'xterm', SHELL: '/bin/sh' },
  })
  t.teardown(() => child.kill('SIGKILL'))
  let shown = ''
  const heard = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    shown += chunk
    for (const wake of heard) wake()
  })
  const ended = once(child, 'close').then(([code]) => ({ code: code as number, shown }))
  return {
    type: (keys) => child.stdin.write(keys),
    shows: (text) =>
      within(
        new Promise<string>((resolve, reject) => {
          const look = (): void => {
            if (typeof text === 'string' ? shown.includes(text) : text.test(shown)) resolve(shown)
          }
          heard.add(look)
          look()
          void ended.then(() => reject(new Error(`it ended without showing ${String(text)}: ${JSON.stringify(shown)}`)))
        }),
        `${String(text)} on the terminal`,
      ),
    ended: () => within(ended, 'the end of the terminal'),
  }
}

function terminalIsRestored(shown: string): boolean {
  const before = /before (\S+)/.exec(shown)?.[1]
  return before !== undefined && before === /after (\S+)/.exec(shown)?.[1]
}

terminal('a shell: keys, size, exit code, and the terminal as it was', async (t) => {
  const { type, shows, ended } = onTerminal(t, ['shell', '--', 'sh'])
  await shows(/[$#] $/)
  type('echo $((6 * 7)) columns; stty size; tty\r')
  await shows('42 columns')
  await shows('30 100')
  t.regex(await shows('/dev/pts/'), /\/dev\/pts\/\d+/)
  type('exit 7\r')
  const { code, shown } = await ended()
  t.is(code, 7)
  t.true(terminalIsRestored(shown))
})

terminal('without a program it is a shell of the container', async (t) => {
  const { type, shows, ended } = onTerminal(t, ['shell'])
  await shows(/[$#] $/)
  type('echo home is $HOME, term is $TERM\r')
  // With the next prompt the shell reads keys as such: what was typed for a command is no end of the shell's own input.
  await shows(/home is \/w, term is xterm[^\n]*\n[^\n]*[$#] $/)
  type('\u0004')
  t.is((await ended()).code, 0)
})

terminal('Ctrl-C interrupts what runs in the shell, and not hotcell', async (t) => {
  const { type, shows, ended } = onTerminal(t, ['shell', '--', 'sh'])
  await shows(/[$#] $/)
  // Said by the child: from then on it is the foreground of the terminal, and not the shell.
  type('sh -c "echo st\'\'arted; exec sleep 1000"\r')
  await shows('started')
  type('\u0003')
  type('echo st""ill here\r')
  await shows('still here')
  type('exit\r')
  await ended()
  t.pass()
})

terminal('a change of the window reaches the program', async (t) => {
  const fifo = join(temporaryFolder(t), 'fifo')
  await promisify(execFile)('mkfifo', [fifo])
  // Whatever has the terminal may change its size; this does when it is told to.
  const before = `stty cols 100 rows 30; (cat ${fifo}; stty cols 120 rows 40 </dev/tty) &`
  const program = ['sh', '-c', 'trap "stty size" WINCH; stty size; echo ready; while :; do sleep 0.1; done']
  const { type, shows, ended } = onTerminal(t, ['run', '-t', '--', ...program], before)
  t.regex(await shows('ready'), /30 100/)
  await writeFile(fifo, '')
  await shows('40 120')
  type('\u0003')
  t.is((await ended()).code, 128 + 2)
})

terminal('Ctrl-] three times ends what listens to no other key', async (t) => {
  const program = ['sh', '-c', 'stty raw -echo; trap "" INT TERM HUP; echo ready; while :; do sleep 0.1; done']
  const { type, shows, ended } = onTerminal(t, ['run', '--tty', '--', ...program])
  await shows('ready')
  type('\u001D\u001D\u001D')
  const { code, shown } = await ended()
  t.is(code, 128 + 9)
  t.true(terminalIsRestored(shown))
})

terminal('a limit ends a shell, and the terminal is as it was', async (t) => {
  const { shows, ended } = onTerminal(t, ['shell', '--wall-time', '1s', '--', 'sleep', '100'])
  await shows('time-limit')
  const { code, shown } = await ended()
  t.is(code, 124)
  t.true(terminalIsRestored(shown))
})

terminal('run without --tty gives no terminal, though hotcell is on one', async (t) => {
  const { ended } = onTerminal(t, [
    'run',
    '--',
    'sh',
    '-c',
    'tty; readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2',
  ])
  const { shown } = await ended()
  t.regex(shown, /not a tty/)
  t.is(shown.match(/pipe:\[\d+\]/g)?.length, 3)
})

test.serial('without a terminal, a shell says so', async (t) => {
  const { code, stderr } = await cli(['shell'])
  t.is(code, 125)
  t.regex(stderr, hasTerminals ? /standard input is no terminal/ : /no terminals in containers/)
})
