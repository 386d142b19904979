// Several JS threads, and several copies of the module, in one process.
import { cpSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { HotcellError, Master } from '../index.js'
import { install } from './support/compile.js'
import { isAlive, openFds, threads } from './support/counters.js'
import { createMaster, masterOptions } from './support/mode.js'
import { root } from './support/node.js'
import { until, within } from './support/waiting.js'

interface Answer {
  id: number
  error?: string
  pid: number
  program: number
  stdout: string
}

class Thread {
  readonly worker = new Worker(new URL('support/worker.ts', import.meta.url), { stderr: true })
  /** What it wrote to standard error. */
  stderr = ''
  #id = 0

  constructor(t: ExecutionContext) {
    t.teardown(() => this.worker.terminate())
    this.worker.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
  }

  ask(what: string): Promise<Answer> {
    const id = ++this.#id
    const answered = new Promise<Answer>((resolve, reject) => {
      const listen = (answer: Answer): void => {
        if (answer.id !== id) return
        this.worker.off('message', listen)
        this.worker.off('error', reject)
        if (answer.error === undefined) resolve(answer)
        else reject(new Error(answer.error))
      }
      this.worker.on('message', listen)
      this.worker.once('error', reject)
    })
    this.worker.postMessage({ id, what })
    return within(answered, what)
  }
}

test('several threads have containers, each its own', async (t) => {
  const master = await createMaster(t)
  const workers = Array.from({ length: 3 }, () => new Thread(t))
  const containers = await Promise.all(workers.flatMap((worker) => [worker.ask('create'), worker.ask('create')]))
  t.is(new Set([master.pid, ...containers.map(({ pid }) => pid)]).size, 7)
  const outputs = await Promise.all(workers.map((worker) => worker.ask('run')))
  t.deepEqual(
    outputs.map(({ stdout }) => stdout),
    Array.from({ length: 3 }, () => 'from a worker\n'),
  )
  t.is((await master.run('echo', ['from here'])).stdout, 'from here\n')
  await Promise.all(workers.map((worker) => worker.ask('destroy')))
  for (const { pid, program } of containers) {
    t.false(isAlive(pid))
    t.false(isAlive(program))
  }
  await master.ping()
})

for (const [how, end] of [
  ['is terminated', (thread: Thread) => void thread.worker.terminate()],
  ['exits', (thread: Thread) => void thread.worker.postMessage({ id: 0, what: 'exit' })],
] as const) {
  test(`the containers of a thread that ${how} die, those of others go on`, async (t) => {
    const master = await createMaster(t)
    await install(master, 'behave')
    const run = master.spawn('./behave', ['hold'])
    const pid = await run.started
    const [doomed, other] = [new Thread(t), new Thread(t)]
    const [first, second] = [await doomed.ask('create'), await doomed.ask('create')]
    const third = await other.ask('create')
    const exited = once(doomed.worker, 'exit')
    end(doomed)
    await within(exited, 'the end of the thread')
    for (const container of [first, second]) {
      await until(() => !isAlive(container.pid) && !isAlive(container.program), `the end of container ${container.pid}`)
    }
    t.true(isAlive(master.pid) && isAlive(pid))
    t.true(isAlive(third.pid) && isAlive(third.program))
    t.is((await other.ask('run')).stdout, 'from a worker\n')
    t.is((await master.run('echo', ['x'])).stdout, 'x\n')
    run.kill('SIGKILL')
    t.like(await run, { signal: 'SIGKILL' })
  })
}

test('what a thread does prints no warning', async (t) => {
  const thread = new Thread(t)
  await thread.ask('create')
  await thread.ask('files')
  await thread.ask('destroy')
  const ended = once(thread.worker.stderr, 'close')
  await thread.worker.terminate()
  await ended
  t.is(thread.stderr, '')
})

test.serial('threads that come and go leave no thread and no descriptor', async (t) => {
  const master = await createMaster(t)
  await master.ping()
  const round = async (): Promise<void> => {
    const thread = new Thread(t)
    await thread.ask('create')
    await thread.worker.terminate()
  }
  await round()
  // The thread that removes cgroups comes with the first container that is gone.
  await (await Master.create(masterOptions())).destroy()
  const before = { fds: openFds().size, threads: threads().length }
  for (let i = 0; i < 4; i++) await round()
  // libuv's pool and V8's helpers are the process's own; nothing is added for each thread.
  await until(() => openFds().size <= before.fds && threads().length <= before.threads, 'descriptors and threads to go')
  await master.ping()
  t.pass()
})

test.serial('a thread that is terminated leaves none of the descriptors that its objects held', async (t) => {
  const round = async (): Promise<void> => {
    const thread = new Thread(t)
    const { pid } = await thread.ask('create')
    await thread.ask('hold')
    await thread.worker.terminate()
    await until(() => !isAlive(pid), 'the end of the container')
  }
  await round()
  const before = openFds().size
  for (let i = 0; i < 3; i++) await round()
  await until(() => openFds().size <= before, 'descriptors to go')
  t.pass()
})

test('two copies of the module', async (t) => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'hotcell-copy-')))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const natives = readdirSync(root).filter((name) => name.endsWith('.node'))
  t.true(natives.length > 0)
  for (const name of ['package.json', 'index.ts', 'src', 'tsconfig.json', ...natives]) {
    cpSync(join(root, name), join(folder, name), { recursive: true })
  }
  const copy = (await import(pathToFileURL(join(folder, 'index.ts')).href)) as typeof import('../index.js')
  const master = await createMaster(t)
  t.not(copy.HotcellError, HotcellError)
  const other = await copy.Master.create(masterOptions())
  await Promise.all(
    [master, other].map(async (each) => {
      await each.copyIn(Buffer.from(String(each.pid)), 'x')
      const results = await Promise.all(Array.from({ length: 20 }, () => each.run('cat', ['x'])))
      t.true(results.every(({ stdout }) => stdout === String(each.pid)))
    }),
  )
  await other.destroy()
  t.false(isAlive(other.pid))
  await master.ping()
  const error = await t.throwsAsync(other.ping(), { code: 'ERR_HOTCELL_CLOSED' })
  t.true(error instanceof copy.HotcellError)
})
