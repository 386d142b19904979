import { defineCommand } from '../definition.js'

export const shells = ['bash', 'zsh', 'fish'] as const

export const groups = [] as const

export const completion = defineCommand({
  name: 'completion',
  summary: 'write a completion script for a shell',
  description: ['Writes a script that teaches a shell to complete commands, options and their values.'],
  operands: {
    usage: shells.join('|'),
    min: 1,
    max: 1,
    complete: shells,
    missing: `hotcell completion needs a shell: ${shells.join(', ')}`,
  },
  groups,
  examples: [
    { text: 'bash, in ~/.bashrc', command: 'source <(hotcell completion bash)' },
    { text: 'zsh, in a folder of $fpath', command: 'hotcell completion zsh > ~/.zfunc/_hotcell' },
    { text: 'fish', command: 'hotcell completion fish > ~/.config/fish/completions/hotcell.fish' },
  ],
  load: async () => (await import('../actions/completion.js')).completion,
})
