/**
 * A whole run: files in, program, files out.
 *
 * The output is collected by the native reactor, so JS hears of a run once, when it is over. Only an input that is a stream
 * needs pipes on this side, and takes the way of `spawn()`.
 */
import { pipeline, Readable } from 'node:stream'
import { AbortError, refuseAborted } from './abort.js'
import type { Container } from './binding.js'
import { expect } from './bridge.js'
import { checkSource } from './copy-source.js'
import { HotcellError } from './errors.js'
import { ended, RunCancellation } from './execve.js'
import { Execution } from './execution.js'
import type { Master } from './master.js'
import { invalidType } from './options/invalid.js'
import type { EncodedLimits } from './options/limits.js'
import type { ContainerPath } from './options/primitives.js'
import {
  encodeRun,
  execFileOf,
  PIPE_STDERR,
  PIPE_STDIN,
  PIPE_STDOUT,
  type Command,
  type RunOptions,
} from './options/run-options.js'
import type { RunResult, TraceResult } from './result.js'
import { requirePipeDescriptors } from './runtime.js'
import { recorder } from './timeline/timeline.js'
import { TraceReader } from './trace.js'

type StreamInput = Readable | ReadableStream<Uint8Array> | AsyncIterable<string | Uint8Array>

export async function run(
  container: Container,
  file: ContainerPath,
  args: readonly ContainerPath[],
  options: RunOptions,
  defaults: EncodedLimits,
  master: Pick<Master, 'copyIn' | 'copyOut'>,
): Promise<RunResult> {
  const command = encodeRun(file, args, options, defaults)
  const { signal } = command
  const input = checkInput(options.input)
  const files = Object.entries(options.files ?? {})
  for (const [path, source] of files) checkSource(`files['${path}']`, source)
  refuseAborted(signal)

  for (const [path, source] of files) await master.copyIn(source, path, { signal })
  // A signal that came too late for the last copy would be missed: a listener hears of what is still to come.
  refuseAborted(signal)
  const result = isStream(input)
    ? await runFed(container, command, input)
    : await runCollected(container, command, input)
  if (options.collect !== undefined) result.files = await collect(master, options.collect, result, signal)
  return result
}

function checkInput(input: unknown): Uint8Array | null | StreamInput {
  if (input === undefined) return null
  if (typeof input === 'string') return Buffer.from(input)
  if (input instanceof Uint8Array) return input
  if (typeof input === 'object' && input !== null && (Symbol.asyncIterator in input || 'getReader' in input)) {
    return input as StreamInput
  }
  throw invalidType('input', 'a string, a Uint8Array, a stream or an async iterable', input)
}

function isStream(input: Uint8Array | null | StreamInput): input is StreamInput {
  return input !== null && !(input instanceof Uint8Array)
}

async function runCollected(container: Container, command: Command, input: Uint8Array | null): Promise<RunResult> {
  const { args, env, cwd, rlimits, limits, seccomp, landlock, trace, tty, sampleUs, encoding, signal } = command
  const timeline = recorder(sampleUs, args, limits.given)
  const reader = trace === null ? undefined : new TraceReader(trace, timeline)
  const id = container.run(
    args,
    env,
    cwd,
    execFileOf(command),
    input,
    limits.outputBytes,
    rlimits,
    limits.numbers,
    limits.cpuSet,
    seccomp,
    landlock,
    reader?.run ?? null,
    tty,
    sampleUs,
    0,
  )
  const reply = expect(container, id)
  reply.timeline = timeline
  reader?.start(() => container.cancel(id))
  if (signal === undefined) {
    await reply.settled
    reader?.finish(reply.result)
  } else {
    const cancellation = new RunCancellation(signal, container, id)
    await reply.settled
    cancellation.stop()
    reader?.finish(reply.result)
    cancellation.check(reply.result)
  }
  if (reader?.error !== undefined) throw reader.error
  const result: TraceResult = ended(reply)
  const { stdout, stderr } = reply.extra ?? {}
  return Object.assign(result, {
    stdout: encoding === 'buffer' ? (stdout ?? Buffer.alloc(0)) : (stdout?.toString() ?? ''),
    stderr: encoding === 'buffer' ? (stderr ?? Buffer.alloc(0)) : (stderr?.toString() ?? ''),
    files: {},
  })
}

async function runFed(container: Container, command: Command, input: StreamInput): Promise<RunResult> {
  requirePipeDescriptors('run() with a stream as input')
  const source = readable(input)
  const execution = new Execution(container, command, PIPE_STDIN | PIPE_STDOUT | PIPE_STDERR)
  const { stdin } = execution
  // Only a failure of the source counts. A program that does not read its input (EPIPE) has destroyed stdin first, and
  // one that is over has settled the execution, which takes no blame any more.
  source.once('error', (error) => {
    if (!stdin.destroyed) execution.fail(error)
  })
  if (source.errored) execution.fail(source.errored)
  pipeline(source, stdin, (error) => {
    if (error?.code === 'ERR_STREAM_PREMATURE_CLOSE') execution.fail(error)
  })
  return await execution
}

function readable(input: StreamInput): Readable {
  if (input instanceof Readable) return input
  if ('getReader' in input) return Readable.fromWeb(input as Parameters<typeof Readable.fromWeb>[0])
  return Readable.from(input, { objectMode: false })
}

async function collect(
  master: Pick<Master, 'copyOut'>,
  paths: readonly string[],
  result: RunResult,
  signal: AbortSignal | undefined,
): Promise<Record<string, Buffer>> {
  const found: [string, Buffer][] = []
  for (const path of paths) {
    try {
      found.push([path, await master.copyOut(path, { signal })])
    } catch (error) {
      if (error instanceof HotcellError && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) continue
      // The program has run: what came of it is not lost for a file that cannot be had.
      if (error instanceof HotcellError || error instanceof AbortError) Object.assign(error, { result })
      throw error
    }
  }
  return Object.fromEntries(found)
}
