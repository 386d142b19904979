// examples/http-runner: real requests over loopback.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { request, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
// As users have it, and so the examples: not the sources, of which the pool would be another class.
import { Pool, type PoolOptions } from 'hotcell'
import { createApp, limits } from '../examples/http-runner/app.js'
import { livingDescendantsOf } from './support/counters.js'
import { mode } from './support/mode.js'
import { root } from './support/node.js'
import { inContainer, requires } from './support/requires.js'
import { until, within } from './support/waiting.js'

const program = fileURLToPath(new URL('../examples/http-runner/main.ts', import.meta.url))
/** Loaded machines take their time: to start Node and to load Express, or to give everybody their turn. */
const PATIENCE_MS = 100_000
const gcc = requires('gcc', inContainer('gcc'))
const python = requires('python3', inContainer('python3'))

interface Answer {
  code: number
  headers: IncomingHttpHeaders
  body: Record<string, unknown>
}

interface Service {
  pool: Pool
  port: number
}

async function serve(t: ExecutionContext, options: PoolOptions = {}): Promise<Service> {
  // Loaded machines take their time.
  const container = { limits: { ...limits, wallTimeMs: 15_000 }, userNamespace: mode !== 'degraded' }
  const pool = await Pool.create({ size: 2, maxQueue: 64, ...options, container })
  const server: Server = createApp(pool).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    server.close()
    server.closeAllConnections()
    await pool.destroy()
  })
  return { pool, port: (server.address() as AddressInfo).port }
}

/** Sends a request; `cut` ends the connection. */
function post(port: number, body: unknown, path = '/run'): { answer: Promise<Answer>; cut: () => void } {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const sent = request({
    port,
    host: '127.0.0.1',
    path,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  })
  const answer = new Promise<Answer>((resolve, reject) => {
    sent.on('error', reject)
    sent.on('response', (response) => {
      let received = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (received += chunk))
      response.on('error', reject)
      response.on('end', () => {
        const { statusCode = 0, headers } = response
        resolve({ code: statusCode, headers, body: JSON.parse(received) as Answer['body'] })
      })
    })
  })
  answer.catch(() => undefined)
  sent.end(text)
  return { answer, cut: () => sent.destroy() }
}

const run = (port: number, language: string, code: string, stdin?: string): Promise<Answer> =>
  within(post(port, { language, code, stdin }).answer, `an answer to ${code}`, PATIENCE_MS)

test('a program is run, and its result sent', async (t) => {
  const { port } = await serve(t)
  const answer = await run(port, 'shell', 'tr a-z A-Z; echo oops >&2', 'hello')
  t.is(answer.code, 200)
  t.like(answer.body, { step: 'run', status: 'ok', stdout: 'HELLO', stderr: 'oops\n' })
  t.like((await run(port, 'shell', 'exit 3')).body, { status: 'nonzero-exit', exitCode: 3 })
  t.like((await run(port, 'shell', 'kill -SEGV $$')).body, { status: 'signaled', signal: 'SIGSEGV' })
})

gcc('a compiler is run before, where there is one to run', async (t) => {
  const { port } = await serve(t)
  const code = '#include <stdio.h>\nint main(void) { int n; return scanf("%d", &n) == 1 ? !printf("%d", 2 * n) : 1; }'
  t.like((await run(port, 'c', code, '21')).body, { step: 'run', status: 'ok', stdout: '42' })
  const wrong = await run(port, 'c', 'int main(void) { return nothing; }')
  t.like(wrong.body, { step: 'build', status: 'nonzero-exit' })
  t.regex(String(wrong.body['stderr']), /undeclared/)
})

python('hostile programs are answered with what stopped them, and the next one finds nothing of theirs', async (t) => {
  const { port, pool } = await serve(t)
  const hostile: Record<string, [code: string, status: RegExp]> = {
    endless: ['while True: pass', /^time-limit$/],
    sleeping: ['import time; time.sleep(1000)', /^time-limit$/],
    hungry: ['a = []\nwhile True: a.append(b"x" * 1_000_000)', /^(memory|time)-limit$/],
    loud: ['while True: print("x" * 1000)', /^output-limit$/],
    bomb: ['import os\nwhile True:\n  try: os.fork()\n  except OSError: pass', /^(time|memory)-limit$/],
    litter: ['open("/tmp/left", "w"); open("/w/left", "w"); open("/dev/shm/left", "w")', /^ok$/],
    killer: ['import os; os.kill(-1, 9); os.kill(1, 9)', /^(ok|nonzero-exit|signaled)$/],
  }
  await Promise.all(
    Object.entries(hostile).map(async ([name, [code, status]]) => {
      const { body } = await run(port, 'python', code)
      t.regex(String(body['status']), status, name)
    }),
  )
  for (let turn = 0; turn < 4; turn++) {
    const census = await run(port, 'shell', 'ls -A /w /tmp /dev/shm; ls /proc | grep -c "^[0-9]"')
    t.regex(String(census.body['stdout']), /^\/dev\/shm:\n\n\/tmp:\n\n\/w:\nmain.sh\n\d\n$/)
  }
  t.is(pool.stats.lost, 0)
})

test('what is no request never gets a container', async (t) => {
  const { port, pool } = await serve(t)
  for (const body of [{}, { language: 'cobol', code: 'x' }, { language: 'shell', code: '' }, '[', 'null']) {
    const { code } = await post(port, body).answer
    t.is(code, 400, JSON.stringify(body))
  }
  const more = { language: 'shell', code: 'true', limits: { memoryBytes: 1e12 } }
  t.regex(String((await post(port, more).answer).body['error']), /limits/, 'limits are not the client’s to set')
  t.is((await post(port, { language: 'shell', code: '#'.repeat(200_000) }).answer).code, 413)
  t.is(pool.stats.runs, 0)
})

test('whoever comes when the queue is full is told to come later', async (t) => {
  const { port, pool } = await serve(t, { size: 1, spare: 0, maxQueue: 1 })
  const first = post(port, { language: 'shell', code: 'sleep 1000' })
  await until(() => pool.stats.busy === 1, 'the first one to run')
  const second = post(port, { language: 'shell', code: 'echo second' })
  await until(() => pool.stats.queued === 1, 'the second one to wait')
  const third = await post(port, { language: 'shell', code: 'echo third' }).answer
  t.is(third.code, 503)
  t.is(third.headers['retry-after'], '2')
  first.cut()
  t.like((await within(second.answer, 'the turn of the second one')).body, { status: 'ok', stdout: 'second\n' })
})

test('a client that goes away takes its program along, running or waiting', async (t) => {
  const { port, pool } = await serve(t, { size: 1, spare: 0 })
  const running = post(port, { language: 'shell', code: 'sleep 1000 & sleep 1000' })
  await until(() => pool.stats.busy === 1, 'one to run')
  const waiting = post(port, { language: 'shell', code: 'echo never' })
  await until(() => pool.stats.queued === 1, 'one to wait')
  waiting.cut()
  await until(() => pool.stats.queued === 0, 'the queue to be empty')
  running.cut()
  await until(() => pool.stats.idle === 1, 'the container to be free')
  t.is(pool.stats.runs, 1, 'the one that waited never had it')
  t.is(pool.stats.lost, 0)
  t.like((await run(port, 'shell', 'echo next')).body, { stdout: 'next\n' })
})

test('many at once', async (t) => {
  const { port } = await serve(t, { maxQueue: 200 })
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      run(port, 'shell', `read n; echo $((n * 2)); test -e left; echo $?; : > left`, `${i}\n`),
    ),
  )
  answers.forEach(({ body }, i) => t.is(body['stdout'], `${i * 2}\n1\n`))
})

test('told to end, it answers what it has taken', async (t) => {
  const child = spawn(process.execPath, ['--import=@oxc-node/core/register', program], {
    cwd: root,
    env: { ...process.env, PORT: '0', RUNS: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const [line] = (await within(once(createInterface({ input: child.stdout }), 'line'), 'its address', PATIENCE_MS)) as [
    string,
  ]
  const port = Number(new URL(line).port)
  const before = livingDescendantsOf(child.pid as number).length
  const pending = post(port, {
    language: 'shell',
    code: 'while test ! -e /tmp/x; do sleep 0.1; : $((i += 1)); test $i = 10 && break; done; echo done',
  })
  await until(() => livingDescendantsOf(child.pid as number).length > before, 'the program')
  child.kill('SIGTERM')
  t.like((await within(pending.answer, 'the answer')).body, { status: 'ok', stdout: 'done\n' })
  t.deepEqual(await within(exited, 'its end'), [0, null])
})
