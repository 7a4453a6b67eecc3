#!/usr/bin/env bash
# Makes .venv, the virtual environment with the Python clients that `make run` shows and `make test` drives, from
# scripts/requirements.txt. Usage: scripts/python.sh
# Changes nothing, and takes no time, when it is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=scripts/requirements.txt
stamp=.venv/.stamp
# Debian's own, which python3-venv belongs to, before another one on the PATH.
python=/usr/bin/python3
[ -x "$python" ] || python=python3

state="$("$python" -c 'import sys; print(sys.version)') $PWD $(sha256sum <"$wanted")"
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ] && exit 0

echo "installing Python packages into .venv"
"$python" -m venv --clear .venv
# --no-deps: the list is whole, and --require-hashes refuses what is not on it.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps \
  -r "$wanted"
.venv/bin/python -m pip check >/dev/null
# Last, so that an installation that was interrupted begins anew.
printf '%s\n' "$state" >"$stamp"
