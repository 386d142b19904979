// The HTTP side: checks what comes, gets it a container's time, and answers.
//
//   POST /run    { language, code, stdin? } → what became of it. 400: no such request, 503: too many at once
//   GET /stats   what the pool is doing
//
// Whoever goes away takes their program along: the connection's end aborts it, whether it runs or waits for its turn.

import express, { type ErrorRequestHandler, type Express, type Request, type Response } from 'express'
import { HotcellError, type Limits, type Pool, type RunResult } from 'hotcell'
import { z } from 'zod'
import { languageNames, languages, type Language } from './languages.js'

const requestBody = z.strictObject({
  language: z.enum(languageNames),
  code: z.string().min(1),
  stdin: z.string().default(''),
})

/** Of a program, and of the compiler before it. */
export const limits: Limits = {
  cpuTimeMs: 2_000,
  wallTimeMs: 5_000,
  memoryBytes: 128 * 1024 * 1024,
  processes: 64,
  outputBytes: 64 * 1024,
  fileSizeBytes: 16 * 1024 * 1024,
}
const BUILD: Limits = { cpuTimeMs: 5_000, wallTimeMs: 20_000, memoryBytes: 512 * 1024 * 1024 }
const BODY_BYTES = 128 * 1024
const RETRY_AFTER_S = 2

export function createApp(pool: Pool): Express {
  const app = express()
  app.disable('x-powered-by')
  app.use(express.json({ limit: BODY_BYTES }))

  // oxlint-disable-next-line oxc/no-async-endpoint-handlers -- Express 5 takes a rejection to the error handler
  app.post('/run', async (request: Request, response: Response) => {
    const body = requestBody.safeParse(request.body)
    if (!body.success) {
      response.status(400).json({ error: z.prettifyError(body.error) })
      return
    }
    const { language, code, stdin } = body.data
    const signal = untilGone(response)
    try {
      response.json(await execute(pool, languages[language], code, stdin, signal))
    } catch (error) {
      // There is nobody left to answer.
      if (signal.aborted) return
      throw error
    }
  })

  app.get('/stats', (_request, response) => {
    const { busy, idle, queued, runs, lost, runTime } = pool.stats
    response.json({ busy, idle, queued, runs, lost, p50Ms: runTime.percentile(50), p99Ms: runTime.percentile(99) })
  })

  app.use(answerError)
  return app
}

/** Aborted when the connection ends before the answer was sent. */
function untilGone(response: Response): AbortSignal {
  const gone = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) gone.abort(new Error('the client has gone'))
  })
  return gone.signal
}

async function execute(pool: Pool, language: Language, code: string, stdin: string, signal: AbortSignal) {
  return await pool.use(
    async (master) => {
      await master.copyIn(Buffer.from(code), language.file, { signal })
      if (language.build !== undefined) {
        const [compiler, ...args] = language.build
        const built = await master.run(compiler, args, { limits: BUILD, signal })
        if (built.status !== 'ok') return answer('build', built)
      }
      const [file, ...args] = language.run
      return answer('run', await master.run(file, args, { input: stdin, signal }))
    },
    { signal },
  )
}

function answer(step: 'build' | 'run', result: RunResult<string>) {
  const { status, stdout, stderr, cpuTimeMs, wallTimeMs, memoryBytes } = result
  return {
    step,
    status,
    ...(result.status === 'nonzero-exit' ? { exitCode: result.exitCode } : {}),
    ...(result.status === 'signaled' ? { signal: result.signal } : {}),
    stdout,
    stderr,
    cpuTimeMs,
    wallTimeMs,
    memoryBytes,
  }
}

/** Only what a client can do something about is told to it. */
const answerError: ErrorRequestHandler = (error: unknown, _request, response, next) => {
  if (response.headersSent) {
    next(error)
    return
  }
  const code = error instanceof HotcellError ? error.code : undefined
  if (code === 'ERR_HOTCELL_POOL_FULL' || code === 'ERR_HOTCELL_CLOSED' || code === 'ERR_HOTCELL_CONTAINER_LOST') {
    response.set('Retry-After', String(RETRY_AFTER_S)).status(503).json({ error: 'Try again in a moment' })
    return
  }
  const status = statusOf(error)
  if (status >= 500) console.error(error)
  response.status(status).json({ error: status < 500 && error instanceof Error ? error.message : 'Internal error' })
}

/** Of the errors of express.json: 400, 413, 415. */
function statusOf(error: unknown): number {
  const status = error instanceof Error && 'status' in error ? error.status : undefined
  return typeof status === 'number' && status >= 400 && status < 500 ? status : 500
}
