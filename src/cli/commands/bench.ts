import { defineCommand, group } from '../definition.js'
import { count, text } from '../values.js'

export const groups = [
  group('Options', {
    runs: { short: 'n', value: count(10), summary: 'how often to run each', default: '500' },
    program: {
      value: text('PATH', 'an absolute path'),
      summary: 'what to run, without arguments',
      default: '/bin/true',
    },
    json: { summary: 'write the figures to standard output as JSON' },
  }),
] as const

export const bench = defineCommand({
  name: 'bench',
  summary: 'measure sandboxed runs beside child_process.spawn, on this host',
  description: [
    'Runs a program in a container and by an unsandboxed child_process.spawn, in turns, so that what else the machine does hits both, and shows the ratio. Figures are from the call in JavaScript to the settled promise. It takes some seconds.',
  ],
  operands: { usage: '', min: 0, max: 0, complete: 'nothing' },
  groups,
  examples: [{ text: 'Quickly', command: 'hotcell bench --runs 100' }],
  load: async () => (await import('../actions/bench.js')).bench,
})
