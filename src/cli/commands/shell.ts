import { defineCommand } from '../definition.js'
import { configuration, files, limits, program, report, walls } from '../shared-options.js'

export const groups = [limits, files, program, walls, report, configuration] as const

export const shell = defineCommand({
  name: 'shell',
  summary: 'open an interactive shell in a container',
  description: [
    'Gives you a shell on a terminal of the container: line editing, job control, Ctrl-C, full-screen programs and changes of the window size work as on the host. The host terminal itself is out of its reach. Without a program it is bash where there is one, else sh.',
    'Should everything inside hang, Ctrl-] three times within a second ends the run.',
  ],
  operands: { usage: '[program [argument…]]', min: 0, max: Infinity, complete: 'program' },
  groups,
  examples: [
    { text: 'Look around in what an untrusted program would see', command: 'hotcell shell --ro-bind ~/src/project:/w' },
    { text: 'A language of your choice', command: 'hotcell shell --memory 512M -- python3' },
  ],
  load: async () => (await import('../actions/shell.js')).shell,
})
