/**
 * A worker thread with containers of its own. Asked by messages `{ id, what }`, it answers `{ id, … }`:
 *
 * | what | answer |
 * |---|---|
 * | `create` | `pid` of a new container, in which a program runs that goes on until it is killed, and that one's `program` |
 * | `run` | `stdout` of a short program in the newest container |
 * | `files` | once files and programs of every kind have come and gone in the newest container |
 * | `hold` | once a file of the newest container is open, and a program runs there whose streams nobody took |
 * | `seal` | once it holds sealed files, without any container |
 * | `destroy` | once every container is gone |
 * | `exit` | none: the thread ends by `process.exit()` |
 */
import { parentPort } from 'node:worker_threads'
import { Master, seal } from '../../index.js'
import { compile } from './compile.js'
import { masterOptions } from './mode.js'

const masters: Master[] = []
const held: unknown[] = []

async function answer(what: string): Promise<object> {
  if (what === 'create') {
    const master = await Master.create(masterOptions())
    masters.push(master)
    await master.copyIn(await compile('behave'), 'behave')
    const run = master.spawn('./behave', ['hold'])
    run.result.catch(() => undefined)
    return { pid: master.pid, program: await run.started }
  }
  if (what === 'run') return { stdout: (await masters.at(-1)?.run('echo', ['from a worker']))?.stdout }
  if (what === 'files') {
    await useFiles(masters.at(-1) as Master)
    return {}
  }
  if (what === 'hold') {
    const master = masters.at(-1) as Master
    const run = master.spawn('cat')
    held.push(await master.open('x', 'w'), run)
    await run.started
    return {}
  }
  if (what === 'seal') {
    held.push(await seal(Buffer.from('x')), await seal('/bin/true'))
    ;(await seal(Buffer.from('x'))).close()
    return {}
  }
  if (what === 'destroy') {
    await Promise.all(masters.map((master) => master.destroy()))
    return {}
  }
  return process.exit(0)
}

async function useFiles(master: Master): Promise<void> {
  await master.copyIn(Buffer.from('x'), 'x')
  await master.copyIn(await compile('behave'), 'behave')
  await master.copyIn('/absent', 'x').catch(() => undefined)
  await master.copyOut('x')
  const file = await master.open('x', 'r+')
  await file.write('y')
  await file.close()
  await master.spawn('cat')
  const run = master.spawn('cat')
  run.stdin.end('z')
  run.stdout.resume()
  await run
  await master.spawn('absent').result.catch(() => undefined)
}

parentPort?.on('message', ({ id, what }: { id: number; what: string }) => {
  answer(what).then(
    (result) => parentPort?.postMessage({ id, ...result }),
    (error: unknown) => parentPort?.postMessage({ id, error: String(error) }),
  )
})
