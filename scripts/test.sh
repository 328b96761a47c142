#!/usr/bin/env bash
# Sets up .venv if need be and runs every check: style, format, types, tests.
# Arguments are passed to pytest: ./scripts/test.sh tests/test_stats.py -k holm --pdb
# Some tests read Fashion-MNIST, some open the page in a browser: Debian's packages of them are
# installed if that can be done unasked.
set -euo pipefail

script="$(readlink -f -- "${BASH_SOURCE[0]}")"
cd -- "${script%/scripts/*}"
source scripts/setup.sh

images=/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz
driver=/usr/bin/chromedriver

# As root, or by sudo without a password; no question is asked, and nothing waits for long.
install_quietly() {
  local as_root=()
  ((EUID == 0)) || as_root=(sudo -n)
  "${as_root[@]}" timeout --kill-after=5 "$1" env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=10 -o Acquire::Retries=0 "${@:2}" </dev/null >/dev/null 2>&1
}

# want SECONDS FILE PACKAGE...: installs what has the file, and takes that long at most. The tests
# that need it say why they did not run, so that a failure is no error.
want() {
  local seconds="$1" file="$2" packages=("${@:3}")
  local install=(install_quietly "$seconds" install --yes --no-install-recommends "${packages[@]}")
  [[ ! -e "$file" ]] || return 0
  if command -v apt-get >/dev/null; then
    say "installing for some tests, from Debian: ${packages[*]}"
    "${install[@]}" || { install_quietly 60 update && "${install[@]}"; } || true
  fi
  [[ -e "$file" ]] || say "some tests will not run, for want of: apt install ${packages[*]}"
}

set_up
want 60 "$images" dataset-fashion-mnist
want 120 "$driver" chromium chromium-driver
python="$PWD/.venv/bin/python"

say "ruff check"
"$python" -m ruff check
say "ruff format --check"
"$python" -m ruff format --check
say "pyrefly"
"$python" -m pyrefly check --python-interpreter-path "$python"
# Everything: on two processes, a file on one of them, for some files share a costly run.
# A selection: as asked for, since --pdb and -s want a single process.
(($#)) || set -- -n 2 --dist loadfile
say "pytest $*"
exec "$python" -m pytest "$@"
