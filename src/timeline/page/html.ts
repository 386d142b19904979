/**
 * HTML by templates that escape whatever is put into them. What is HTML already is an {@link Html}, and nothing else is: no string gets into
 * a page unescaped, whoever wrote it.
 */

/** Text that is HTML. */
export class Html {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export type Content = Html | string | number | undefined | readonly Content[]

/** A template: what is interpolated is escaped, for text and for attributes in quotes alike. Its own lines are not indented. */
export function html(strings: TemplateStringsArray, ...values: Content[]): Html {
  const own = strings.map((string) => string.replaceAll(/\n\s+/g, '\n'))
  return new Html(own.reduce((text, string, index) => text + render(values[index - 1]) + string))
}

function render(content: Content): string {
  if (content === undefined) return ''
  if (content instanceof Html) return content.text
  if (Array.isArray(content)) return content.map(render).join('')
  return escaped(String(content))
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] as string)
}

/** JSON for a script element that is data: it can neither end the element nor begin a comment in it. */
export function json(value: unknown): Html {
  return new Html(JSON.stringify(value).replaceAll('<', '\\u003c'))
}

/** Controls, and what changes the direction of the text around it. */
// oxlint-disable-next-line no-control-regex -- it is there to find them
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/** Shows what could make a name look like another one; `but` are characters that may do so. */
export function visible(text: string, most = Infinity, but = ''): string {
  const short = text.length > most ? `${text.slice(0, most)}…` : text
  return short.replaceAll(INVISIBLE, (character) =>
    but.includes(character) ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
