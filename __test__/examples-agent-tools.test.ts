// examples/agent-tools: started as an agent's host starts it, and used by a client of the MCP SDK over stdio. The program chooses
// its container itself, in each mode what a user's would. One session serves all tests, one after the other, as it would serve an
// agent: each begins with a reset.
import { fileURLToPath } from 'node:url'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import test from 'ava'
import { childrenOf, descendantsOf, isAlive, livingDescendantsOf } from './support/counters.js'
import { root } from './support/node.js'
import { inContainer, requiresSerial } from './support/requires.js'
import { until, within } from './support/waiting.js'

const program = fileURLToPath(new URL('../examples/agent-tools/main.ts', import.meta.url))
const python = requiresSerial('python3', inContainer('python3'))

/** A loaded machine takes its time to start Node and to load the SDK. */
const START_MS = 100_000

const client = new Client({ name: 'test', version: '1.0.0' })
let pid = 0

interface Outcome {
  isError: boolean
  text: string
  status: string
}

test.before(async () => {
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: ['--import=@oxc-node/core/register', program],
    cwd: root,
    stderr: 'inherit',
  })
  await within(client.connect(transport), 'the connection', START_MS)
  pid = transport.pid as number
})

test.beforeEach(async () => void (await call('reset')))

test.after.always(() => client.close())

/** Calls a tool. */
async function call(name: string, input: Record<string, unknown> = {}, signal?: AbortSignal): Promise<Outcome> {
  const answer = await client.callTool({ name, arguments: input }, undefined, signal === undefined ? {} : { signal })
  const [first] = answer.content as { text: string }[]
  const { status = '' } = (answer.structuredContent ?? {}) as { status?: string }
  return { isError: answer.isError === true, text: first?.text ?? '', status }
}

/** The container's init: the only child of the launcher, which is the server's only child. */
async function findInit(): Promise<number> {
  let found: number[] = []
  await until(() => (found = childrenOf(pid).flatMap((child) => childrenOf(child))).length === 1, 'one container')
  return found[0] as number
}

test.serial('tools are listed with what they take', async (t) => {
  const { tools } = await client.listTools()
  t.deepEqual(tools.map(({ name }) => name).sort(), ['read_file', 'reset', 'run_python', 'run_shell', 'write_file'])
  const shell = tools.find(({ name }) => name === 'run_shell')
  t.deepEqual(Object.keys(shell?.inputSchema.properties ?? {}), ['command', 'timeout_seconds'])
  t.deepEqual(shell?.inputSchema.required, ['command'])
})

test.serial('files stay from call to call, until they are reset', async (t) => {
  t.like(await call('write_file', { path: 'notes/a.txt', content: 'grüße\n' }), { isError: false })
  t.regex((await call('run_shell', { command: 'cat notes/a.txt; pwd; echo $HOME' })).text, /grüße\n\/w\n\/w/)
  await call('run_shell', { command: 'wc -c < notes/a.txt > size' })
  t.is((await call('read_file', { path: 'size' })).text.trim(), '8')
  t.like(await call('reset'), { isError: false })
  t.like(await call('read_file', { path: 'size' }), { isError: true })
})

python('Python works, and a traceback quotes the program', async (t) => {
  await call('write_file', { path: 'helper.py', content: 'def double(x):\n    return 2 * x\n' })
  const right = await call('run_python', { code: 'from helper import double\nprint(double(21))' })
  t.deepEqual(right, { isError: false, status: 'ok', text: 'exit code 0\n\nstdout:\n42\n' })
  const wrong = await call('run_python', { code: '1 / 0' })
  t.like(wrong, { isError: true, status: 'nonzero-exit' })
  t.regex(wrong.text, /1 \/ 0[^]*ZeroDivisionError/)
  t.is((await call('run_shell', { command: 'ls /tmp' })).text, 'exit code 0', 'programs are not left lying about')
})

test.serial('programs that would take everything are stopped, and the workspace goes on', async (t) => {
  await call('write_file', { path: 'kept', content: 'still here' })
  const endless = await call('run_shell', { command: 'while :; do :; done', timeout_seconds: 0.5 })
  t.like(endless, { isError: true, status: 'time-limit' })
  t.regex(endless.text, /timeout_seconds/)
  t.is((await call('run_shell', { command: 'sleep 1000', timeout_seconds: 0.33333 })).status, 'time-limit')
  const bomb = 'b() { b | b & wait; }; b; sleep 1000'
  t.is((await call('run_shell', { command: bomb, timeout_seconds: 1 })).isError, true)
  const loud = await call('run_shell', { command: 'yes' })
  t.is(loud.status, 'output-limit')
  t.true(loud.text.length < 20_000, 'an agent is told a part of it')
  t.regex(loud.text, /characters left out/)
  t.is((await call('read_file', { path: 'kept' })).text, 'still here')
})

python('memory is limited', async (t) => {
  const code = 'kept = []\nwhile True: kept.append(b"x" * 1_000_000)'
  t.is((await call('run_python', { code, timeout_seconds: 60 })).status, 'memory-limit')
})

test.serial('neither the host nor a network can be reached', async (t) => {
  const away = ['/etc/passwd', '/root', '/home', program].map((path) => `test -e ${path} && echo ${path}`)
  const looked = await call('run_shell', { command: `${away.join('; ')}; grep -c : /proc/net/dev; env | sort` })
  const environment = 'HOME=/w\nLANG=C.UTF-8\nPATH=/usr/local/bin:/usr/bin:/bin\nPWD=/w\nPYTHONPATH=/w'
  t.is(looked.text, `exit code 0\n\nstdout:\n1\n${environment}\n`, 'loopback, and nothing of the environment here')
  for (const path of ['/etc/cron.d/job', '../../usr/bin/env', '/proc/self/mem']) {
    t.true((await call('write_file', { path, content: 'x' })).isError, path)
  }
  // A link that leads out leads nowhere: it is resolved inside.
  await call('run_shell', { command: 'ln -s /etc/passwd link; ln -s / folder' })
  t.true((await call('read_file', { path: 'link' })).isError)
  t.true((await call('read_file', { path: 'folder/etc/passwd' })).isError)
})

test.serial('what does not fit the schema never gets to a container', async (t) => {
  for (const wrong of [{ command: 'true', timeout_seconds: 1e9 }, { command: 'true', timeout_seconds: -1 }, {}]) {
    const refused = await call('run_shell', wrong)
    t.true(refused.isError)
    t.regex(refused.text, /[Ii]nvalid/)
  }
})

test.serial('a call that the client cancels ends with all that it started', async (t) => {
  const init = await findInit()
  const cancel = new AbortController()
  const call1 = call('run_shell', { command: 'sleep 1000 & sleep 1000' }, cancel.signal)
  await until(() => descendantsOf(init).length >= 3, 'a shell and what it started')
  cancel.abort()
  await t.throwsAsync(call1)
  await until(() => livingDescendantsOf(init).length === 0, 'the end of them')
  t.is((await call('run_shell', { command: 'echo next' })).status, 'ok')
})

test.serial('a workspace that is lost is told of, and replaced', async (t) => {
  await call('write_file', { path: 'a', content: 'x' })
  const cut = call('run_shell', { command: 'sleep 1000' })
  const init = await findInit()
  await until(() => descendantsOf(init).length > 0, 'the command')
  process.kill(init, 'SIGKILL')
  const told = await cut
  t.true(told.isError)
  t.regex(told.text, /lost with all its files/)
  t.is((await call('run_shell', { command: 'ls' })).text, 'exit code 0')
})

test.serial('it ends with its client, and its container with it', async (t) => {
  const running = call('run_shell', { command: 'sleep 1000' })
  running.catch(() => undefined)
  const init = await findInit()
  await until(() => descendantsOf(init).length > 0, 'the command')
  const all = [pid, ...descendantsOf(pid)]
  await client.close()
  await until(() => all.every((process) => !isAlive(process)), 'the end of all of them')
  await t.throwsAsync(running)
})
