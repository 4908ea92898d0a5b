#!/usr/bin/env bash
# Every test, in two runs: those that mind no neighbour two at a time, then the others one by one. Both are always made;
# the exit code is that of the first that failed. Arguments go to both.
set -uo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
"$python" -m pytest -m 'side_by_side and not slow' --numprocesses 2 --dist loadfile "$@"
beside=$?
"$python" -m pytest -m 'not side_by_side and not slow' "$@"
alone=$?
exit $((beside != 0 ? beside : alone))
