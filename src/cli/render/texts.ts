/** What manual page and docs/cli.md say beside the definitions. */

export const environment: readonly (readonly [name: string, meaning: string])[] = [
  ['NO_COLOR', 'If it is not empty, there are no colours.'],
  ['FORCE_COLOR', 'If it is not empty, there are colours everywhere, or with 0 nowhere; it comes before NO_COLOR.'],
  ['HOTCELL_INIT', 'A file that the first process of containers is started from, see hotcell doctor --write-init.'],
]

export const configurationText: readonly string[] = [
  'Options of run, shell, trace and learn for which a working directory should not need the command line. It is looked for in the working directory and above it; --config names another one, --no-config reads none.',
  'It holds "options", which are for all runs, and "profiles", which --profile chooses from by name, and which may extend one another. Names are those of the command line without the dashes; flags are true or false, options that may be repeated are arrays. Options of the command line override what the file says, or are added to it if they may be repeated; --no-NAME takes a flag back. Paths of the host start at the folder of the file.',
  'A file that is found must belong to you or to root and not be writable for all. A file in a folder that somebody else has made can take down every wall: use --no-config there.',
]
