// What the judge knows of each language: how its source is called, what is to be built from it, how that is started.

import type { Limits } from 'hotcell'

export interface Language {
  readonly name: string
  /** The name of the source file in the container. */
  readonly source: string
  /** Makes `artifact` of the source. An interpreter only looks whether the source can be parsed. */
  readonly build: readonly [string, ...string[]]
  /** What a test needs. */
  readonly artifact: string
  readonly run: readonly [string, ...string[]]
}

const languages: Readonly<Record<string, Language>> = {
  '.cpp': {
    name: 'C++',
    source: 'main.cpp',
    build: ['g++', '-O2', '-std=c++17', '-o', 'main', 'main.cpp'],
    artifact: 'main',
    run: ['./main'],
  },
  '.py': {
    name: 'Python',
    source: 'main.py',
    build: ['python3', '-c', 'compile(open("main.py", "rb").read(), "main.py", "exec")'],
    artifact: 'main.py',
    run: ['python3', 'main.py'],
  },
}

/** A compiler is a program that reads what a stranger wrote: `#include "/dev/zero"` is an attack as good as any. */
export const buildLimits: Limits = {
  cpuTimeMs: 10_000,
  wallTimeMs: 40_000,
  memoryBytes: 1024 * 1024 * 1024,
  fileSizeBytes: 64 * 1024 * 1024,
  outputBytes: 64 * 1024,
  processes: 32,
}

/** The language of a file extension, such as `.cpp`. */
export function languageOf(extension: string): Language {
  const language = languages[extension]
  if (language === undefined) {
    throw new Error(`There is no language for '${extension}': ${Object.keys(languages).join(', ')} are known`)
  }
  return language
}
