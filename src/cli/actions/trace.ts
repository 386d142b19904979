/** `hotcell trace`: a session with a trace, whose events are written as they come. The program waits where their reader is slow. */
import type { groups } from '../commands/trace.js'
import type { Action, Joined, Values } from '../definition.js'
import { runSession, type Observer } from '../session.js'
import { openSink, stderr } from '../sink.js'
import { styleFor, type Target } from '../style.js'
import { readFilter } from '../trace/filter.js'
import { summaryTable, TraceFormatter } from '../trace/format.js'
import { LineWriter } from '../trace/writer.js'
import type { TraceOptions } from '../../options/trace.js'

export const trace: Action<typeof groups> = async ({ values, operands }) => {
  const filter = readFilter(values.expression)
  const path = values['output-file']
  const sink = path === undefined ? stderr : openSink('--output-file', { path })
  const target: Target = sink === stderr ? process.stderr : {}
  const style = styleFor(target)
  const writer = new LineWriter(sink)
  const formatter = new TraceFormatter({ style, times: values.times, durations: values.durations })
  const showsCalls = !values.summary || values['summary-too']
  const showsTable = values.summary || values['summary-too']

  const observer: Observer = {
    prepare(options) {
      options.trace = { syscalls: filter.syscalls, ...fileRules(values) }
    },
    async observe(execution) {
      for await (const event of execution.trace) {
        if (event.type === 'syscall' && !(showsCalls && filter.shows(event.name))) continue
        if (values.json) {
          await writer.write(JSON.stringify(event))
          continue
        }
        const line =
          !showsCalls && (event.type === 'start' || event.type === 'exit') ? undefined : formatter.line(event)
        if (line !== undefined) await writer.write(line)
      }
    },
    async finish(result) {
      const calls = Object.entries(result.trace?.calls ?? {}).filter(([name]) => filter.shows(name))
      if (values.json) {
        const { stdout: _stdout, stderr: _stderr, files: _files, ...verdict } = result
        await writer.write(
          JSON.stringify({ type: 'result', ...verdict, trace: { ...result.trace, calls: Object.fromEntries(calls) } }),
        )
      } else if (showsTable) {
        await writer.write(summaryTable(Object.fromEntries(calls), style).trimEnd())
      }
      await writer.end()
    },
  }
  try {
    const session = { ...values, json: undefined, timeline: undefined }
    return await runSession({ command: operands, values: session, terminal: false, observers: [observer] })
  } finally {
    await writer.end()
    if (sink !== stderr) await sink.close()
  }
}

function fileRules(values: Values<Joined<typeof groups>>): Pick<TraceOptions, 'files' | 'onViolation'> {
  const { read, write, stat, execute } = values
  const onViolation = values['on-violation'] ?? 'log'
  if (read.length + write.length + stat.length + execute.length === 0) return {}
  return { files: { read, write, stat, execute }, onViolation }
}
