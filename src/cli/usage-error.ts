/** The user's own mistake: an option, a command or a configuration file that is not understood. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** A failure whose message is all that the user needs, with the exit code that says so. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exitCode: number
  /** A word for programs, as `HotcellError.code`. */
  readonly code: string

  constructor(message: string, code: string, exitCode: number, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.exitCode = exitCode
  }
}
