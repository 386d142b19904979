// Does the heap of the embedding process matter? Two Node processes, one with 50 MB and one with 1 GB of touched heap,
// are asked in turn for a sample of `Master.create`, `master.execve` and `child_process.spawn`.

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Group } from './context.js'
import { interleave, type Case } from './sample.js'

class Embedder implements AsyncDisposable {
  readonly #child: ChildProcess

  static async start(megabytes: number): Promise<Embedder> {
    const child = fork(fileURLToPath(new URL('heap-child.ts', import.meta.url)), [String(megabytes)], {
      execArgv: [...process.execArgv, '--max-old-space-size=4096'],
    })
    const embedder = new Embedder(child)
    await embedder.#answer()
    return embedder
  }

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  async sample(what: string): Promise<number> {
    this.#child.send(what)
    return await this.#answer()
  }

  async #answer(): Promise<number> {
    const controller = new AbortController()
    try {
      const [answer]: unknown[] = await Promise.race([
        once(this.#child, 'message', { signal: controller.signal }),
        once(this.#child, 'exit', { signal: controller.signal }).then(() => ['it ended']),
      ])
      if (typeof answer !== 'number') throw new Error(`bench/heap-child.ts: ${String(answer)}`)
      return answer
    } finally {
      controller.abort()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.disconnect()
    await exited
  }
}

export const heap: Group = async ({ runs, progress }) => {
  await using small = await Embedder.start(50)
  await using large = await Embedder.start(1024)
  const cases: Case[] = []
  for (const what of ['Master.create', 'master.execve of /bin/true']) {
    cases.push({ name: `${what}, 50 MB heap`, sample: () => small.sample(what) })
    cases.push({ name: `${what}, 1 GB heap`, sample: () => large.sample(what) })
  }
  // libuv forks, so this one copies the page tables of a gigabyte: a tenth of the samples is enough of that.
  const what = 'child_process.spawn of /bin/true'
  cases.push({ name: `${what}, 50 MB heap`, sample: () => small.sample(what), every: 10 })
  cases.push({ name: `${what}, 1 GB heap`, sample: () => large.sample(what), every: 10 })
  return await interleave(cases, runs, progress)
}
