/**
 * A real browser for pages that are files: Debian's chromium, headless, driven through the DevTools protocol on two pipes.
 *
 * `--remote-debugging-pipe` reads commands from descriptor 3 and writes answers and events to descriptor 4, as JSON with a NUL behind each; nothing listens on a port. Whatever goes wrong in
 * a page (an exception, a line on the console, a request that its policy refused) is kept in {@link Page.complaints}.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'

const candidates = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome-stable']

/** Where it is; undefined if this machine has none. */
export const chromium = candidates.find((path) => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
})

interface Message {
  id?: number
  sessionId?: string
  method?: string
  params?: Record<string, unknown>
  result?: Record<string, unknown>
  error?: { message: string }
}

type Params = Record<string, unknown>

export class Browser {
  readonly #process: ChildProcess
  readonly #profile: string
  readonly #commands: Writable
  readonly #answers = new Map<number, { resolve: (result: Params) => void; reject: (error: Error) => void }>()
  readonly #listeners = new Set<(message: Message) => void>()
  readonly #gone: Promise<void>
  #errors = ''
  #rest = ''
  #next = 1

  private constructor() {
    this.#profile = mkdtempSync(join(tmpdir(), 'hotcell-chromium-'))
    const args = [
      '--headless=new',
      // Its own sandbox takes user namespaces, which root has no use for; the pages are ours.
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--disable-extensions',
      '--disable-background-networking',
      '--disable-component-update',
      '--no-first-run',
      '--no-proxy-server',
      '--hide-scrollbars',
      `--user-data-dir=${this.#profile}`,
      '--remote-debugging-pipe',
      'about:blank',
    ]
    const env = { ...process.env, HOME: this.#profile }
    this.#process = spawn(chromium as string, args, { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'], env })
    this.#commands = this.#process.stdio[3] as Writable
    this.#commands.on('error', () => undefined)
    const answers = this.#process.stdio[4] as Readable
    answers.setEncoding('utf8')
    answers.on('data', (text: string) => this.#hear(text))
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-4000)
    })
    this.#gone = new Promise((resolve) => {
      this.#process.once('close', () => {
        const error = new Error(`chromium has ended: ${this.#errors}`)
        for (const { reject } of this.#answers.values()) reject(error)
        this.#answers.clear()
        resolve()
      })
    })
  }

  static async start(): Promise<Browser> {
    const browser = new Browser()
    await browser.send('Browser.getVersion', {})
    return browser
  }

  /** Opens a file, and waits until it has loaded. */
  async open(url: string, options: { width: number; height: number; colorScheme: 'light' | 'dark' }): Promise<Page> {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true })
    const page = new Page(this, sessionId as string)
    this.#listeners.add((message) => page.hear(message))
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await page.send(`${domain}.enable`)
    const { width, height, colorScheme } = options
    await page.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false })
    const features = [{ name: 'prefers-color-scheme', value: colorScheme }]
    await page.send('Emulation.setEmulatedMedia', { features })
    const loaded = page.event('Page.loadEventFired')
    await page.send('Page.navigate', { url })
    await loaded
    return page
  }

  async send(method: string, params: Params, sessionId?: string): Promise<Params> {
    const id = this.#next++
    const answer = new Promise<Params>((resolve, reject) => this.#answers.set(id, { resolve, reject }))
    this.#commands.write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    return await answer
  }

  async close(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#gone
    // Its children, which have the same folder open, end a little later.
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 20 })
  }

  #hear(text: string): void {
    const parts = (this.#rest + text).split('\0')
    this.#rest = parts.pop() as string
    for (const part of parts) {
      const message = JSON.parse(part) as Message
      const waiting = message.id === undefined ? undefined : this.#answers.get(message.id)
      if (waiting === undefined) {
        for (const listener of this.#listeners) listener(message)
        continue
      }
      this.#answers.delete(message.id as number)
      if (message.error === undefined) waiting.resolve(message.result ?? {})
      else waiting.reject(new Error(message.error.message))
    }
  }
}

export class Page {
  /** Exceptions, lines on the console, and what the browser had to say about the page. */
  readonly complaints: string[] = []
  /** What it asked for, beside itself. */
  readonly requests: string[] = []
  readonly #browser: Browser
  readonly #session: string
  #waiting: { method: string; resolve: () => void }[] = []

  constructor(browser: Browser, session: string) {
    this.#browser = browser
    this.#session = session
  }

  send(method: string, params: Params = {}): Promise<Params> {
    return this.#browser.send(method, params, this.#session)
  }

  event(method: string): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ method, resolve }))
  }

  hear({ sessionId, method, params }: Message): void {
    if (sessionId !== this.#session || method === undefined) return
    for (const waiting of this.#waiting) if (waiting.method === method) waiting.resolve()
    this.#waiting = this.#waiting.filter((waiting) => waiting.method !== method)
    const complains = [
      'Runtime.exceptionThrown',
      'Runtime.consoleAPICalled',
      'Log.entryAdded',
      'Page.javascriptDialogOpening',
    ]
    if (complains.includes(method)) this.complaints.push(`${method} ${JSON.stringify(params)}`)
    if (method === 'Network.requestWillBeSent') this.requests.push((params as { request: { url: string } }).request.url)
  }

  /** What an expression comes to, a promise of it awaited. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', {
      expression,
      returnByValue: true,
      awaitPromise: true,
    })
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
    return (result as { value: T }).value
  }

  async moveMouse(x: number, y: number): Promise<void> {
    await this.send('Input.dispatchMouseEvent', { type: 'mouseMoved', x, y })
  }

  async press(key: string): Promise<void> {
    await this.send('Input.dispatchKeyEvent', { type: 'keyDown', key, code: key })
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', key, code: key })
  }

  async screenshot(): Promise<Buffer> {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true })
    return Buffer.from(data as string, 'base64')
  }
}
