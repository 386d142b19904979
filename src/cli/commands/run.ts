import { defineCommand, group } from '../definition.js'
import { configuration, files, limits, program, report, walls } from '../shared-options.js'

export const groups = [
  limits,
  files,
  program,
  group('Terminal', {
    tty: {
      short: 't',
      summary: 'give the program a terminal of its own, as hotcell shell does',
    },
  }),
  walls,
  report,
  configuration,
] as const

export const run = defineCommand({
  name: 'run',
  summary: 'run a program in a container',
  description: [
    'Makes a container, runs the program in it with the standard streams passed through, and ends as the program did. Nothing of the host is visible inside but the default mounts (/usr, /lib, /lib64, /bin, read-only), and there is no network. The working directory is /w, which is empty.',
    'Options end at the first word that is none, or at --. What follows is the program and its arguments, without a shell: for pipes and globs, run sh -c.',
    'Ctrl-C (SIGINT), SIGTERM, SIGHUP and SIGQUIT are passed on to the program; the second such signal kills it. Ctrl-Z stops its main process as well. If the program dies of a signal that was passed on, hotcell dies of it, too.',
  ],
  operands: {
    usage: 'program [argument…]',
    min: 1,
    max: Infinity,
    complete: 'program',
    missing: "hotcell run needs a program to run, as in hotcell run -- sh -c 'echo hello'",
  },
  groups,
  examples: [
    {
      text: 'Untrusted input for a compiler',
      command: 'hotcell run --memory 512M --cpu-time 10s --copy-in main.c --copy-out a.out -- gcc main.c',
    },
    {
      text: 'The verdict apart from the output',
      command: 'hotcell run --copy-in ./solution --json=verdict.json --wall-time 2s -- ./solution < input > output',
    },
    { text: 'A working copy, without a way to write to it', command: 'hotcell run --ro-bind .:/w -- make -n' },
    {
      text: 'What hotcell learn has found to be enough',
      command: 'hotcell run --seccomp seccomp.json --landlock landlock.json -- date',
    },
  ],
  load: async () => (await import('../actions/run.js')).run,
})
