#!/bin/sh
# All that a machine with a GPU is asked for, in under eight minutes: the tests of devices, then every row beside its peers.
# PYTHON: the interpreter, that of .venv where there is one. Arguments go to python -m benchmarks.gpu (--help names them).
set -eu
cd "$(dirname "$0")/.."
if [ -x .venv/bin/python ]; then default=.venv/bin/python; else default=python3; fi
# Deterministic products, which some of the tests ask for.
CUBLAS_WORKSPACE_CONFIG=:4096:8 PYTHONUNBUFFERED=1 exec "${PYTHON:-$default}" -m benchmarks.gpu "$@"
