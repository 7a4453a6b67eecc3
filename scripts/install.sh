#!/usr/bin/env bash
# Installs the Debian packages that a purpose needs and checks the Swift toolchain.
# Usage: scripts/install.sh build|run|test|bench ...
# Changes nothing, and takes no time, when everything is there.
set -euo pipefail

swift_wanted="6.3"

# Purpose: packages. `run`, `test` and `bench` are asked for together with `build`.
packages() {
  case "$1" in
    # libyaml: the configuration; libssl: TLS; liblua5.4: policies; libsqlite3: the ledger of credits; ca-certificates:
    # what a running Edge verifies https services against.
    build) echo "libyaml-dev libssl-dev liblua5.4-dev libsqlite3-dev ca-certificates" ;;
    # git: the tidy tests read the tracked files; curl: the commands that the README shows are run; openssl: the
    # scenarios make certificates; python3-venv: the clients that are driven have an environment of their own.
    test) echo "python3 python3-venv git curl openssl" ;;
    # The clients that `make run` shows.
    run) echo "python3 python3-venv curl" ;;
    # libssl, openssl: the load client speaks TLS, with certificates made for the run. The peers (nginx with its Lua
    # module, haproxy) are installed by bench/run.py, which keeps their services from starting.
    bench) echo "python3 gcc libc6-dev libssl-dev openssl valgrind" ;;
    *)
      echo "scripts/install.sh: unknown purpose '$1'; one or more of: build run test bench" >&2
      exit 2
      ;;
  esac
}

fail() {
  echo "scripts/install.sh: $*" >&2
  exit 1
}

check_swift() {
  command -v swift >/dev/null ||
    fail "swift is not on the PATH: install the Swift $swift_wanted toolchain (swift.org/install) and try again"
  local said version
  # A toolchain whose own libraries are missing says which.
  said=$(swift --version 2>&1) || fail "'swift --version' failed; is what the toolchain needs installed? It said: $said"
  version=$(sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' <<<"$said" | head -n 1)
  [ -n "$version" ] || fail "'swift --version' printed no version: is the toolchain whole? It said: $said"
  if [ "$(printf '%s\n%s\n' "$swift_wanted" "$version" | sort -V | head -n 1)" != "$swift_wanted" ]; then
    fail "swift is $version, but $swift_wanted or newer is needed (swift.org/install)"
  fi
}

missing() {
  command -v dpkg-query >/dev/null || fail "this is not a Debian system: install these yourself: $*"
  local known
  known=" $(dpkg-query -W -f '${Package}=${db:Status-Status} ' "$@" 2>/dev/null || true)"
  local package
  for package in "$@"; do
    case "$known" in
      *" $package=installed "*) ;;
      *) echo "$package" ;;
    esac
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "needs root or sudo; as root, run: apt-get install ${wanted[*]}"
  fi
}

[ $# -gt 0 ] || {
  packages "" || exit
}
all=()
for purpose in "$@"; do
  list=$(packages "$purpose")
  read -r -a row <<<"$list"
  all+=("${row[@]}")
done

check_swift
mapfile -t wanted < <(missing "${all[@]}")
[ ${#wanted[@]} -gt 0 ] || exit 0

echo "installing Debian packages: ${wanted[*]}"
export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y --no-install-recommends "${wanted[@]}")
# The package lists may be absent or older than the mirror; only then are they fetched.
as_root "${install[@]}" || {
  as_root apt-get update
  as_root "${install[@]}" || fail "apt-get could not install: ${wanted[*]}"
}
