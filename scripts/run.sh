#!/usr/bin/env bash
# Sets up .venv if need be, runs every experiment and writes results/report.html.
# Arguments are passed on: ./scripts/run.sh --preset=paper; see ./scripts/run.sh --help.
# Relative paths in them are taken from the root of the repository.
set -euo pipefail

script="$(readlink -f -- "${BASH_SOURCE[0]}")"
cd -- "${script%/scripts/*}"
source scripts/setup.sh
set_up
say "python -m experiments.all $*"
exec .venv/bin/python -m experiments.all "$@"
