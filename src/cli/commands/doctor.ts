import { defineCommand, group } from '../definition.js'

export const groups = [
  group('Options', { json: { summary: 'write the findings to standard output as JSON' } }),
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
