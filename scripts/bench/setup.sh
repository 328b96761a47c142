#!/usr/bin/env bash
# Makes the environments that the races run in, beside .venv: .venv-bench holds signdyn's locked
# requirements and the peers of the extra `bench`; .venv-kfac holds kfac-jax, which does not run on
# the JAX that signdyn is locked to. PyTorch is its CPU build where the index offers one.
set -euo pipefail

script="$(readlink -f -- "${BASH_SOURCE[0]}")"
cd -- "${script%/scripts/bench/*}"
python="${PYTHON:-python3}"

"$python" -m venv .venv-bench
.venv-bench/bin/python -m pip install --quiet --require-hashes -r requirements.txt
.venv-bench/bin/python -m pip install --quiet --editable '.[bench]'
"$python" -m venv .venv-kfac
.venv-kfac/bin/python -m pip install --quiet 'jax==0.9.2' 'kfac-jax==0.0.8' 'scikit-learn>=1.9,<2'
echo "signdyn: the races are ready: .venv-bench/bin/python -m scripts.bench.run"
