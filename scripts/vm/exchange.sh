# Sourced by ../vm-test.sh and ../vm-qemu-test.sh: the one directory that a machine shares with the host for reading and writing,
# which says what to run (init.sh reads it), and how that ended.

# share_command COMMAND [ARGUMENT…]: makes the directory, and tells it in $shared.
share_command() {
  shared=$(mktemp -d "${TMPDIR:-/tmp}/hotcell-vm.XXXXXX")
  {
    export -p
    # The machine's /tmp is its own.
    printf 'unset TMPDIR\ncd %q\nexec' "$PWD"
    printf ' %q' "$@"
    printf '\n'
  } >"$shared/command"
  printf '%s\n' "$PWD" >"$shared/directory"
  printf '%s' "${HOTCELL_VM_WRITABLE:-}" | tr ':' '\n' >"$shared/writable"
}

# exit_like_command STATUS SECONDS LOG…: once the machine has ended with that status. The ends of the logs are shown if it ended
# before the command did.
exit_like_command() {
  local status=$1 seconds=$2
  shift 2
  [ ! -s "$shared/status" ] || exit "$(cat "$shared/status")"
  if [ "$status" = 124 ] || [ "$status" = 137 ]; then
    echo "the machine was ended after $seconds s" >&2
    exit 124
  fi
  tail -q -n 20 "$@" >&2
  echo "the machine ended with $status before the command did" >&2
  exit 125
}
