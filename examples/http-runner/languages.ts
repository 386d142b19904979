// What can be run, and how.

export interface Language {
  readonly file: string
  readonly build?: readonly [string, ...string[]]
  readonly run: readonly [string, ...string[]]
}

export const languages = {
  c: { file: 'main.c', build: ['gcc', '-O1', '-o', 'main', 'main.c'], run: ['./main'] },
  python: { file: 'main.py', run: ['python3', 'main.py'] },
  shell: { file: 'main.sh', run: ['sh', 'main.sh'] },
} as const satisfies Record<string, Language>

export type LanguageName = keyof typeof languages

export const languageNames = Object.keys(languages) as [LanguageName, ...LanguageName[]]
