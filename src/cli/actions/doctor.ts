/** `hotcell doctor`. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { binding } from '../../binding.js'
import { probe, type HostSupport } from '../../probe.js'
import type { groups } from '../commands/doctor.js'
import type { Action } from '../definition.js'
import { readFacts, type HostFacts } from '../doctor/facts.js'
import { examine, sections, type Finding } from '../doctor/findings.js'
import { FAILED } from '../exit-codes.js'
import { packageFolder, packageVersion } from '../package-info.js'
import { stderr, stdout } from '../sink.js'
import { pad, styleFor, widthOf, wrap, type Style } from '../style.js'

export const doctor: Action<typeof groups> = async ({ values }) => {
  const file = values['write-init']
  if (file !== undefined) {
    await writeFile(file, binding().initImage(), { mode: 0o755 })
    await stderr.write(
      `${file}: the init image of hotcell ${packageVersion()}. It has to belong to root where HOTCELL_INIT names it\n`,
    )
    return 0
  }
  const [support, facts] = [await probe(), readFacts()]
  const findings = examine(support, facts, join(packageFolder(), 'apparmor', 'hotcell'))
  if (values.json) {
    const { supported, kernel, architecture } = support
    await stdout.write(
      `${JSON.stringify({ version: packageVersion(), supported, kernel, architecture, host: facts, findings }, null, 2)}\n`,
    )
  } else {
    await stdout.write(page(support, facts, findings))
  }
  return support.supported ? 0 : FAILED
}

function page(support: HostSupport, facts: HostFacts, findings: readonly Finding[]): string {
  const style = styleFor(process.stdout)
  const width = widthOf(process.stdout)
  const lines = [
    `${style.bold(`hotcell ${packageVersion()}`)} on ${facts.distribution}, Linux ${support.kernel}, ${support.architecture}, Node.js ${process.versions.node}`,
    style.dim(whereabouts(facts)),
  ]
  const titles = Math.max(...findings.map(({ title }) => title.length))
  for (const { title, names } of sections) {
    const own = findings.filter(({ name }) => names.includes(name))
    if (own.length === 0) continue
    lines.push('', style.bold(title))
    for (const finding of own) lines.push(...findingLines(finding, titles, width, style))
  }
  lines.push(...fixLines(findings, width, style), '', verdict(support, findings, style))
  return `${lines.join('\n')}\n`
}

function whereabouts({ uid, user, container, systemd, apparmor }: HostFacts): string {
  return [
    `as ${user ?? 'a user without a name'} (uid ${uid})`,
    container === undefined ? undefined : `in ${container === 'other' ? 'a container' : container}`,
    systemd ? 'under systemd' : undefined,
    apparmor === undefined ? undefined : `AppArmor: ${apparmor}`,
  ]
    .filter((part) => part !== undefined)
    .join(', ')
}

function findingLines(
  { title, state, consequence, code }: Finding,
  titles: number,
  width: number,
  style: Style,
): string[] {
  const mark = state === 'ok' ? style.green('✓') : state === 'missing' ? style.red('✗') : style.yellow('!')
  const indent = titles + 6
  const said = code === undefined ? consequence : `${consequence} (${code})`
  const [first = '', ...rest] = wrap(said, Math.max(30, width - indent))
  const shown = state === 'ok' ? style.dim(first) : first
  return [`  ${mark} ${pad(title, titles)}  ${shown}`, ...rest.map((line) => ' '.repeat(indent) + line)]
}

/** Each fix once, with everything that it is for: one switch often closes several gaps. */
function fixLines(findings: readonly Finding[], width: number, style: Style): string[] {
  const byText = new Map<string, { titles: string[]; lines: readonly string[] }>()
  for (const { title, fixes } of findings) {
    for (const { text, lines } of fixes) {
      const known = byText.get(text)
      if (known === undefined) byText.set(text, { titles: [title], lines })
      else known.titles.push(title)
    }
  }
  if (byText.size === 0) return []
  const shown = [...byText].flatMap(([text, { titles, lines }]) => [
    '',
    ...wrap(`${style.cyan(titles.join(', '))}: ${text}:`, width - 2).map((line) => `  ${line}`),
    ...lines.map((line) => `      ${line}`),
  ])
  return ['', style.bold('How to get what is missing'), ...shown]
}

function verdict({ supported }: HostSupport, findings: readonly Finding[], style: Style): string {
  const limited = findings.filter(({ state }) => state === 'limited').length
  if (!supported) return style.red('hotcell does not work here yet.')
  if (limited === 0) return style.green('Everything that hotcell can use is there.')
  return `${style.green('hotcell works here.')} ${style.yellow(`${limited} ${limited === 1 ? 'thing' : 'things'} could be better.`)}`
}
