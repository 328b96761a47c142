#!/usr/bin/env bash
# Makes .venv hold what requirements.txt says, and does nothing when it already does. run.sh and
# test.sh source this in the root of the repository, and call set_up.
#
# .venv/signdyn-setup holds "unfinished" from before anything else is written until the last
# package is in, and then what was installed: the Python version, the hash of requirements.txt
# and the interpreter. So whatever ends a set-up early, kill -9 included, the next call sees it.

say() { printf 'signdyn: %s\n' "$*" >&2; }

fail() { # fail STATUS SENTENCE
  say "$2"
  exit "$1"
}

# What the marker should hold for the interpreter $1; fails if it does not run. A virtual
# environment answers with the interpreter it was made from. Python 2 can read it, to be named.
identify() {
  "$1" -c 'if True:
    import hashlib, os, sys
    lock = hashlib.sha256(open("requirements.txt", "rb").read()).hexdigest()
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    print("%d.%d %s %s" % (sys.version_info[0], sys.version_info[1], lock, base))' 2>/dev/null
}

is_supported() { [[ "$1" =~ ^3\.1[123]\  ]]; }

# Sets `wanted` to the identity of PYTHON, else of the first supported Python on the path.
choose_python() {
  local candidate seen="" candidates=("${PYTHON:-python3}")
  [[ -n "${PYTHON:-}" ]] || candidates+=(python3.13 python3.12 python3.11)
  for candidate in "${candidates[@]}"; do
    if ! wanted="$(identify "$candidate")"; then
      continue
    elif is_supported "$wanted"; then
      return
    fi
    seen="${seen:-$candidate is Python ${wanted%% *}}"
  done
  fail 2 "Python 3.11, 3.12 or 3.13 is needed, but ${seen:-${candidates[0]} does not run}; \
install one (Debian: apt install python3 python3-venv) or name it: PYTHON=/path/to/python3."
}

# The environment runs, is complete, and is of the interpreter asked for, if one is asked for.
is_ready() {
  found="$(identify .venv/bin/python)" &&
    [[ "$(cat .venv/signdyn-setup 2>/dev/null)" == "$found" ]] &&
    [[ -z "${PYTHON:-}" || "$(identify "$PYTHON")" == "$found" ]]
}

# Removes what is_ready refused, and says why; an environment that somebody else made is kept.
clear_away() {
  local reason="requirements.txt has changed" kept=.venv.bak
  if [[ ! -e .venv && ! -L .venv ]]; then
    return
  elif [[ ! -e .venv/signdyn-setup ]]; then
    while [[ -e "$kept" ]]; do kept+=.bak; done
    say "moving .venv to $kept, for it was not made by this script"
    mv .venv "$kept"
    return
  elif [[ "$(cat .venv/signdyn-setup)" == unfinished ]]; then
    reason="its set-up was interrupted"
  elif [[ -z "$found" ]]; then
    reason="its Python no longer runs"
  elif [[ "${found#* /}" != "${wanted#* /}" ]]; then
    reason="it has another Python than the one asked for"
  fi
  say "making .venv again: $reason"
  rm -rf .venv.discarded # renamed first, for a removal may be interrupted too
  mv .venv .venv.discarded
  rm -rf .venv.discarded
}

install_with_uv() {
  say "setting up .venv for Python ${wanted%% *} with uv: about half a minute, once"
  uv venv --quiet --allow-existing --python "$1" .venv &&
    uv pip install --quiet --require-hashes --python .venv/bin/python -r requirements.txt
}

install_with_pip() {
  say "setting up .venv for Python ${wanted%% *} with pip: about a minute, once"
  # Byte-compiling every module would double the time; those in use are compiled on first import.
  "$1" -m venv .venv &&
    PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USE_PEP517=1 .venv/bin/python -m pip install \
      --quiet --no-compile --require-hashes -r requirements.txt
}

install() {
  local base="$1"
  mkdir -p .venv
  echo unfinished >.venv/signdyn-setup
  if command -v uv >/dev/null; then
    # pip may know a package index that uv is not told about.
    install_with_uv "$base" || { say "uv failed, trying pip" && install_with_pip "$base"; }
  else
    install_with_pip "$base"
  fi || fail 1 "the installation failed, for the reason given above; the same command tries again"
  identify .venv/bin/python >.venv/signdyn-setup.tmp
  mv .venv/signdyn-setup.tmp .venv/signdyn-setup
}

set_up() {
  local found="" wanted="" base
  # A relative PYTHON was meant from where the caller stood.
  [[ "${PYTHON:-}" == */* && "$PYTHON" != /* ]] && PYTHON="$OLDPWD/$PYTHON"
  unset PYTHONDONTWRITEBYTECODE # else every start compiles the packages anew, for 15 s
  is_ready && return
  trap 'exit 130' INT
  trap 'exit 143' TERM
  choose_python
  if command -v flock >/dev/null; then
    exec 9<requirements.txt
    flock -n 9 || { say "waiting for another set-up of .venv to end" && flock 9; }
  fi
  if ! is_ready; then
    base="/${wanted#* /}" # not `python3` itself, which may be the one in .venv
    command -v uv >/dev/null || "$base" -c 'import ensurepip, venv' 2>/dev/null ||
      fail 2 "$base lacks the venv module; on Debian: apt install python3-venv"
    clear_away
    install "$base"
  fi
  exec 9<&-
  trap - INT TERM
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then
  set -euo pipefail
  script="$(readlink -f -- "$0")"
  cd -- "${script%/scripts/*}"
  set_up
  say "$PWD/.venv is ready; . .venv/bin/activate"
fi
