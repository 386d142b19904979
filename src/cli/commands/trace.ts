import { defineCommand, group } from '../definition.js'
import { configuration, files, limits, programOfTrace, reportOfTrace, walls } from '../shared-options.js'
import { hostPath, text, word } from '../values.js'

const glob = text('GLOB', 'an absolute path or glob of the container')

export const groups = [
  group('Trace', {
    expression: {
      short: 'e',
      value: text('FILTER', 'names of system calls and classes, separated by commas'),
      repeatable: true,
      summary: 'only these calls: names and classes, separated by commas; all but these after a !',
      details:
        'Classes are %file, %process, %network, %memory, %signal, %ipc and %desc. A leading trace= is taken as strace takes it.',
      default: 'all',
    },
    'output-file': { short: 'o', value: hostPath('file'), summary: 'write to this file instead of standard error' },
    summary: { short: 'c', summary: 'show calls, errors and time by name at the end, and no single call' },
    'summary-too': { summary: 'show both' },
    json: { summary: 'write events as JSON, one a line, and the verdict as the last one' },
    times: { summary: 'show when each call began, in seconds from the start' },
    durations: { short: 'T', summary: 'show how long each call took' },
  }),
  group('Rules for files', {
    read: { value: glob, repeatable: true, summary: 'what may be read' },
    write: { value: glob, repeatable: true, summary: 'what may be written, made, removed or renamed' },
    stat: { value: glob, repeatable: true, summary: 'what may be looked at' },
    execute: { value: glob, repeatable: true, summary: 'what may be executed' },
    'on-violation': {
      value: word('WHAT', ['deny', 'kill', 'log']),
      summary: 'what becomes of other uses',
      default: 'log',
    },
  }),
  limits,
  files,
  programOfTrace,
  walls,
  reportOfTrace,
  configuration,
] as const

export const trace = defineCommand({
  name: 'trace',
  summary: 'run a program and show its system calls, as strace does',
  description: [
    'Runs a program as hotcell run does, and writes each system call of all its processes and threads to standard error, with arguments, result and, where one failed, the error.',
    'With rules for files (--read, --write, --stat, --execute) it also shows what no rule allows. Such rules are no boundary against a hostile program with several threads; Landlock is one (--allow-read and its kin).',
  ],
  operands: {
    usage: 'program [argument…]',
    min: 1,
    max: Infinity,
    complete: 'program',
    missing: 'hotcell trace needs a program to run, as in hotcell trace -- ls',
  },
  groups,
  examples: [
    { text: 'Which files does it open?', command: 'hotcell trace -e %file -- date' },
    { text: 'Where does the time go?', command: 'hotcell trace -c -- sort /etc/ld.so.cache' },
    {
      text: 'Whatever it does outside of its folder',
      command: "hotcell trace -e execve --read '/usr/**' --write /w/ -- ./program",
    },
  ],
  load: async () => (await import('../actions/trace.js')).trace,
})
