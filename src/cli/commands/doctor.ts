import { defineCommand, group } from '../definition.js'
import { hostPath } from '../values.js'

export const groups = [
  group('Options', {
    json: { summary: 'write the findings to standard output as JSON' },
    'write-init': {
      value: hostPath('file'),
      summary: 'write the image of init to a file, and do nothing else',
      details:
        'For hosts where an AppArmor profile has to be attached to it (Ubuntu 23.10 and later). Install the file as root, and name it in the environment variable HOTCELL_INIT of whatever uses hotcell, this command included.',
    },
  }),
] as const

export const doctor = defineCommand({
  name: 'doctor',
  summary: 'say what this host allows, and how to get what is missing',
  description: [
    'Tries everything that hotcell needs or uses, containers included, and shows for each gap the command that closes it on this kind of host: sysctls, AppArmor, cgroups under systemd, Docker, Kubernetes, subordinate ids.',
    'Nothing is changed. Run it as the user, and in the unit or container, that will run hotcell.',
  ],
  operands: { usage: '', min: 0, max: 0, complete: 'nothing' },
  groups,
  examples: [
    { text: 'What is there, what is not', command: 'hotcell doctor' },
    { text: 'A check before a deployment', command: 'hotcell doctor --json > findings.json' },
  ],
  exitCodes: [['1', 'something is missing without which there are no containers']],
  load: async () => (await import('../actions/doctor.js')).doctor,
})
