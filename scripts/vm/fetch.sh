# Sourced by ../vm-test.sh and ../vm-qemu-test.sh: kernels and tools out of Debian's packages, without installing these.
# Who sources it has a function `skip` that ends the script.

# fetched NAME: where the files of that name are kept.
fetched() {
  echo "${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/hotcell/$1"
}

# fetch NAME PACKAGE: downloads the package, and moves what `pick CONTENT TO` copies out of its files into the directory that
# `fetched NAME` tells.
fetch() {
  local cache
  cache=$(fetched "$1")
  command -v apt-get >/dev/null || skip "no apt-get to fetch Debian's package $2 with"
  command -v dpkg-deb >/dev/null || skip "no dpkg-deb to extract Debian's package $2 with"
  echo "▸ apt-get download $2 (kept in $cache)" >&2
  local work
  work=$(mktemp -d)
  (
    cd "$work"
    apt-get download "$2" >log 2>&1 || { apt-get update >>log 2>&1 && apt-get download "$2" >>log 2>&1; }
  ) || { tail -n 3 "$work/log" >&2; rm -rf "$work"; skip "apt-get download $2 failed"; }
  dpkg-deb -x "$work/$2"_*.deb "$work/content"
  mkdir -p "$cache.$$"
  pick "$work/content" "$cache.$$" || { rm -rf "$work" "$cache.$$"; skip "$2 has not the files that it should"; }
  # Renamed into place: another run may do the same at this moment, and then the first one stands.
  mv -T "$cache.$$" "$cache" 2>/dev/null || rm -rf "$cache.$$"
  rm -rf "$work"
}
