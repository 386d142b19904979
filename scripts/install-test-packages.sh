#!/usr/bin/env bash
# Installs what the tests and the demo make use of, where that can be done (root, apt-get); says what is missing elsewhere.
# Nothing here is required: what is absent is skipped, by name.
set -uo pipefail

# program, Debian package
wanted=(
  "newuidmap uidmap"
  "gcc gcc"
  "g++ g++"
  "setpriv util-linux"
  "unshare util-linux"
  "ip iproute2"
  "chromium chromium"
)

missing=()
for line in "${wanted[@]}"; do
  read -r program package <<<"$line"
  command -v "$program" >/dev/null 2>&1 || missing+=("$package")
done
# A Python below /usr, where containers see it: one of pyenv's in a home does not count.
[ -x /usr/bin/python3 ] || missing+=(python3-minimal)
# The static C library.
if command -v cc >/dev/null 2>&1 && [ ! -e "$(cc -print-file-name=libc.a)" ]; then missing+=(libc6-dev); fi

[ ${#missing[@]} -eq 0 ] && exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "not installed, and so not tested: ${missing[*]} (Debian's names of the packages)" >&2
  exit 0
fi

echo "▸ apt-get install ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install --yes --no-install-recommends "${missing[@]}" </dev/null; }
if ! output=$(install 2>&1 || { apt-get update 2>&1 && install 2>&1; }); then
  printf '%s\n' "$output" | tail -n 5 >&2
  echo "could not install ${missing[*]}: what needs them is skipped" >&2
fi
exit 0
