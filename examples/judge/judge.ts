// The judge: builds a submission once, then runs what was built on each test, every time in a container in which nothing
// has been left by anybody.
//
// All of it goes through one pool, so as many programs run at once as there are processors, whoever's they are, and the
// others wait in the order in which they came. The tests of one submission are run one after the other, up to the first
// that it does not pass; submissions are judged beside each other.

import { HotcellError, Pool, type MasterOptions } from 'hotcell'
import { buildLimits, type Language } from './languages.js'
import type { Problem, TestCase } from './problem.js'
import { judge, remarkOn, type Verdict } from './verdict.js'

export interface Submission {
  readonly language: Language
  readonly source: Buffer
}

export interface TestReport {
  readonly test: string
  readonly verdict: Verdict
  readonly remark: string
  readonly cpuTimeMs: number
  readonly wallTimeMs: number
  readonly memoryBytes: number
}

export interface Report {
  /** That of the first test that was not passed. */
  readonly verdict: Verdict
  readonly remark: string
  /** Name of the test that decided it. */
  readonly decidedBy: string | undefined
  /** What the compiler wrote. */
  readonly compilerOutput: string
  /** The most of any test. */
  readonly cpuTimeMs: number
  /** The most of any test. */
  readonly memoryBytes: number
  /** Up to the first one that was not passed. */
  readonly tests: readonly TestReport[]
}

/** Contest programs may use threads and files, and neither start programs nor open sockets. */
const SECCOMP = 'judge'

export class Judge implements AsyncDisposable {
  readonly #pool: Pool

  private constructor(pool: Pool) {
    this.#pool = pool
  }

  /** @param container what each container is made from, beside the judge's own choices */
  static async create(container: Omit<MasterOptions, 'signal'> = {}): Promise<Judge> {
    return new Judge(await Pool.create({ container: { tmpfs: { sizeBytes: 256 * 1024 * 1024 }, ...container } }))
  }

  /** Judges one submission. When the signal is aborted, everything of it is dead before the promise rejects. */
  async submit(problem: Problem, { language, source }: Submission, signal?: AbortSignal): Promise<Report> {
    const [compiler, ...args] = language.build
    const built = await this.#pool.run(compiler, args, {
      files: { [language.source]: source },
      collect: [language.artifact],
      limits: buildLimits,
      signal,
    })
    const artifact = built.files[language.artifact]
    if (built.status !== 'ok' || artifact === undefined) {
      const remark = remarkOn(built) || (built.status === 'ok' ? 'nothing was built' : built.status)
      return failed('compile error', remark, built.stderr)
    }
    const tests: TestReport[] = []
    for (const test of problem.tests) {
      tests.push(await this.#test(problem, test, language, artifact, signal))
      if (tests.at(-1)?.verdict !== 'accepted') break
    }
    const last = tests.at(-1) as TestReport
    return {
      verdict: last.verdict,
      remark: last.remark,
      decidedBy: last.verdict === 'accepted' ? undefined : last.test,
      compilerOutput: built.stderr,
      cpuTimeMs: Math.max(...tests.map(({ cpuTimeMs }) => cpuTimeMs)),
      memoryBytes: Math.max(...tests.map(({ memoryBytes }) => memoryBytes)),
      tests,
    }
  }

  async #test(
    problem: Problem,
    { name, input, expected }: TestCase,
    language: Language,
    artifact: Buffer,
    signal: AbortSignal | undefined,
  ): Promise<TestReport> {
    const [file, ...args] = language.run
    const result = await retried(() =>
      this.#pool.use(
        async (master) => {
          await master.copyIn(artifact, language.artifact, { mode: 0o755, signal })
          return await master.run(file, args, {
            input,
            seccomp: SECCOMP,
            limits: {
              cpuTimeMs: problem.timeLimitMs,
              // Somebody who sleeps, or waits for input that does not come, uses no CPU time.
              wallTimeMs: 3 * problem.timeLimitMs + 1_000,
              memoryBytes: problem.memoryLimitBytes,
              processes: 32,
              outputBytes: 2 * expected.length + 65_536,
            },
            signal,
          })
        },
        { signal },
      ),
    )
    const { cpuTimeMs, wallTimeMs, memoryBytes } = result
    return { test: name, ...judge(result, expected), cpuTimeMs, wallTimeMs, memoryBytes }
  }

  /** Ends the containers when what was submitted has been judged. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.drain()
  }
}

function failed(verdict: Verdict, remark: string, compilerOutput: string): Report {
  return { verdict, remark, decidedBy: undefined, compilerOutput, cpuTimeMs: 0, memoryBytes: 0, tests: [] }
}

/** A container that is lost (the host's OOM killer, an administrator) is no fault of the submission: it gets another one. */
async function retried<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt()
  } catch (error) {
    if (error instanceof HotcellError && error.code === 'ERR_HOTCELL_CONTAINER_LOST') return await attempt()
    throw error
  }
}
