#!/usr/bin/env bash
# Sets up .venv if need be and runs every check: style, format, types, tests.
# Arguments are passed to pytest: ./scripts/test.sh tests/test_stats.py -k holm --pdb
set -euo pipefail

script="$(readlink -f -- "${BASH_SOURCE[0]}")"
cd -- "${script%/scripts/*}"
source scripts/setup.sh
set_up
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
