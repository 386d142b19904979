import { defineCommand, group } from '../definition.js'
import { configuration, filesIn, limits, program, walls } from '../shared-options.js'
import { count, hostPath } from '../values.js'

export const groups = [
  group('Learning', {
    runs: { short: 'n', value: count(1), summary: 'how often to run it', default: '3, or once for each --input' },
    input: { short: 'i', value: hostPath('file'), repeatable: true, summary: 'standard input of a run' },
    'seccomp-out': {
      value: hostPath('file'),
      summary: 'where to write the seccomp profile',
      default: 'seccomp.json',
    },
    'landlock-out': {
      value: hostPath('file'),
      summary: 'where to write the Landlock rules',
      default: 'landlock.json',
    },
    force: { short: 'f', summary: 'replace these files if they are there' },
    'no-verify': { summary: 'do not run it once more under both policies' },
    json: { summary: 'write both to standard output as one JSON object, and no files' },
    quiet: { short: 'q', summary: 'say nothing but errors' },
  }),
  limits,
  filesIn,
  program,
  walls,
  configuration,
] as const

export const learn = defineCommand({
  name: 'learn',
  summary: 'find the smallest seccomp profile and Landlock rules for a program',
  description: [
    'Runs a program several times in a fresh container, notes which system calls it makes and which files it uses, and writes the policies that allow just that. Then it runs the program once more under both, to see that they suffice.',
    'What the runs did not do is not in the policies: give it inputs that reach all of the program. With --input each run reads one of the files; else all runs read what standard input holds, unless that is a terminal.',
  ],
  operands: {
    usage: 'program [argument…]',
    min: 1,
    max: Infinity,
    complete: 'program',
    missing: 'hotcell learn needs a program to run, as in hotcell learn -- date',
  },
  groups,
  examples: [
    {
      text: 'A program and its inputs',
      command: 'hotcell learn --copy-in ./filter -i small.txt -i large.txt -- ./filter',
    },
    {
      text: 'Use what was learned',
      command: 'hotcell run --seccomp seccomp.json --landlock landlock.json --copy-in ./filter -- ./filter',
    },
  ],
  exitCodes: [['1', 'the program ended otherwise under the policies than without, or its runs were no success']],
  load: async () => (await import('../actions/learn.js')).learn,
})
