// What a program does with hotcell, step by step, written for any runtime that has Node's modules: check-package.mjs runs it in
// a project that installed the packed tarballs. Prints a line of JSON for each step: its name, and the error if it failed.
//
// Each step stands alone, so that one which a runtime cannot do does not hide the others. One that does not end is cut short,
// and named, by the caller.

import { createReadStream, openSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { Worker } from 'node:worker_threads'
import { HotcellError, Master, Pool, defaultMounts, defaultPath, pipeline, probe } from 'hotcell'

function same(actual, expected) {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) {
    throw new Error(`${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`)
  }
}

async function rejection(promise) {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('it did not reject')
}

/** A container for the length of `use`. */
async function inContainer(use, options) {
  const master = await Master.create(options)
  try {
    await use(master)
  } finally {
    await master.destroy()
  }
}

const steps = {
  probe: async () => {
    const { supported, features } = await probe()
    same([supported, features.length > 10], [true, true])
  },
  constants: () => same([defaultPath.startsWith('PATH='), defaultMounts().length > 0], [true, true]),
  'create, ping and destroy': async () => {
    const master = await Master.create()
    same(master.pid > 1, true)
    await master.ping()
    await master.destroy()
    await master.closed
    same((await rejection(master.ping())).code, 'ERR_HOTCELL_CLOSED')
  },
  execve: () =>
    inContainer(async (master) => {
      const ok = await master.execve({ args: ['/bin/true'] })
      same([ok.status, ok.exitCode, ok.cpuTimeMs > 0], ['ok', 0, true])
      same((await master.execve({ args: ['/bin/sh', '-c', 'kill -9 $$'] })).signal, 'SIGKILL')
    }),
  'execve with descriptors and syncFunc': () =>
    inContainer(async (master) => {
      let pid = 0
      const file = openSync('/dev/null', 'r+')
      const { status } = await master.execve({
        args: ['/bin/cat'],
        fds: [file, file, file],
        syncFunc: (its) => {
          pid = its
        },
      })
      same([status, pid > 1], ['ok', true])
    }),
  'run with input and output': () =>
    inContainer(async (master) => {
      const result = await master.run('sh', ['-c', 'cat; echo error >&2; exit 7'], { input: 'in' })
      same([result.status, result.exitCode, result.stdout, result.stderr], ['nonzero-exit', 7, 'in', 'error\n'])
    }),
  'run with files': () =>
    inContainer(async (master) => {
      const files = { given: Buffer.from('content') }
      const result = await master.run('cp', ['given', 'made'], { files, collect: ['made'] })
      same([result.status, String(result.files.made)], ['ok', 'content'])
    }),
  'run with a megabyte': () =>
    inContainer(async (master) => {
      const input = Buffer.alloc(1 << 20, 7)
      const result = await master.run('cat', [], { input, encoding: 'buffer' })
      same([result.stdout.length, input.equals(result.stdout)], [1 << 20, true])
    }),
  'run with a stream as input': () =>
    inContainer(async (master) => {
      const result = await master.run('wc', ['-c'], { input: createReadStream('/etc/passwd') })
      same([result.status, Number(result.stdout) > 10], ['ok', true])
    }),
  'spawn with streams': () =>
    inContainer(async (master) => {
      const execution = master.spawn('cat')
      const output = text(execution.stdout)
      execution.stdin.write('one ')
      execution.stdin.end('two')
      same([await output, (await execution).status], ['one two', 'ok'])
    }),
  'spawn without output, and kill': () =>
    inContainer(async (master) => {
      const execution = master.spawn('sleep', ['1000'], { stdout: 'ignore', stderr: 'ignore' })
      await execution.started
      execution.kill('SIGTERM')
      same((await execution).signal, 'SIGTERM')
      // Without anybody who writes, the program reads the end of the file.
      same((await master.spawn('cat', [], { stdout: 'ignore', stderr: 'ignore' })).status, 'ok')
    }),
  'cancel by a signal': () =>
    inContainer(async (master) => {
      const controller = new AbortController()
      const param = {
        args: ['/bin/sleep', '1000'],
        syncFunc: () => {
          setImmediate(() => controller.abort())
        },
      }
      const error = await rejection(master.execve(param, { signal: controller.signal }))
      same([error.name, error.code], ['AbortError', 'ABORT_ERR'])
      same((await master.run('true')).status, 'ok')
    }),
  limits: () =>
    inContainer(async (master) => {
      const spin = await master.run('sh', ['-c', 'while :; do :; done'], { limits: { cpuTimeMs: 50 } })
      same([spin.status, spin.limit], ['time-limit', 'cpu'])
      const wait = await master.run('sleep', ['1000'], { limits: { wallTimeMs: 50 } })
      same([wait.status, wait.limit], ['time-limit', 'wall'])
    }),
  seccomp: () => inContainer(async (master) => same((await master.run('true', [], { seccomp: 'judge' })).status, 'ok')),
  trace: () =>
    inContainer(async (master) => {
      const { trace } = await master.run('cat', ['/etc/ld.so.cache'], { trace: { syscalls: ['openat'] } })
      same(trace.calls.openat.count > 0, true)
    }),
  'trace events as they come': () =>
    inContainer(async (master) => {
      const calls = []
      const onEvent = (event) => calls.push(event.type)
      await master.run('cat', ['/etc/ld.so.cache'], { trace: { syscalls: ['openat'], onEvent } })
      same(calls.length > 0, true)
    }),
  'symlink, delete and reset': () =>
    inContainer(async (master) => {
      await master.symlink('/w/target', 'folder/link')
      same((await master.run('readlink', ['folder/link'])).stdout, '/w/target\n')
      await master.delete('folder', { recursive: true })
      same((await master.run('ls')).stdout, '')
      await master.run('touch', ['left'])
      await master.reset()
      same((await master.run('ls')).stdout, '')
    }),
  'copyIn and copyOut': () =>
    inContainer(async (master) => {
      await master.copyIn(Buffer.from('content'), 'folder/file')
      same(String(await master.copyOut('folder/file')), 'content')
      same((await rejection(master.copyOut('folder/other'))).code, 'ENOENT')
    }),
  'open, and a file as stream': () =>
    inContainer(async (master) => {
      const file = await master.open('file', 'w+')
      await file.write('content', 0)
      same(await text(file.createReadStream({ start: 0 })), 'content')
    }),
  errors: () =>
    inContainer(async (master) => {
      const error = await rejection(master.run('no-such-program'))
      same([error instanceof HotcellError, error.code, error.syscall], [true, 'ENOENT', 'execve'])
      const invalid = await rejection((async () => await master.run('true', [], { nonsense: 1 }))())
      same([invalid instanceof TypeError, invalid.message.includes('nonsense')], [true, true])
    }),
  'runs beside each other': () =>
    inContainer(async (master) => {
      const results = await Promise.all(Array.from({ length: 20 }, (_, i) => master.run('echo', [`${i}`])))
      same(
        results.map(({ stdout }) => Number(stdout)),
        results.map((_, i) => i),
      )
    }),
  'a lost container': async () => {
    const master = await Master.create()
    const run = rejection(master.run('sleep', ['1000']))
    process.kill(master.pid, 'SIGKILL')
    same((await run).code, 'ERR_HOTCELL_CONTAINER_LOST')
    await master.closed
  },
  pool: async () => {
    const pool = await Pool.create({ size: 2 })
    const results = await Promise.all(Array.from({ length: 10 }, (_, i) => pool.run('echo', [`${i}`])))
    same(
      results.map(({ stdout }) => Number(stdout)),
      results.map((_, i) => i),
    )
    same(await pool.use(async (master) => (await master.run('true')).status), 'ok')
    await pool.drain()
    await pool.destroy()
  },
  pipeline: async () => {
    const { stages } = await pipeline([
      ['echo', 'word'],
      ['tr', 'a-z', 'A-Z'],
    ])
    same(stages[1].stdout, 'WORD\n')
  },
  asyncDispose: async () => {
    const master = await Master.create()
    await master[Symbol.asyncDispose]()
    await master.closed
  },
  'a worker thread': async () => {
    const worker = new Worker(new URL('worker.mjs', import.meta.url))
    try {
      const answer = await new Promise((resolve, reject) => {
        worker.on('message', resolve)
        worker.on('error', reject)
        worker.on('exit', (code) => reject(new Error(`it exited with ${code}`)))
      })
      same(answer, 'worker\n')
    } finally {
      await worker.terminate()
    }
  },
}

// Exits with 1 if a step failed.
const only = process.argv.slice(2)
for (const [name, step] of Object.entries(steps)) {
  if (only.length > 0 && !only.includes(name)) continue
  console.log(JSON.stringify({ begins: name }))
  try {
    await step()
    console.log(JSON.stringify({ ends: name }))
  } catch (error) {
    process.exitCode = 1
    console.log(JSON.stringify({ ends: name, code: error?.code, failure: String(error?.stack ?? error) }))
  }
}
