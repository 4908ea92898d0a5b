#!/usr/bin/env bash
# Every test, in three runs: those that mind no neighbour two at a time, those that mostly wait in pairs, then the others
# one by one. All are always made; the exit code is that of the first that failed. Arguments go to each.
set -uo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
failed=0

run() {
    "$python" -m pytest "$@"
    local code=$?
    ((failed == 0)) && failed=$code
}

run --phase side-by-side --numprocesses 2 --dist loadfile "$@"
run --phase in-pairs --numprocesses 2 --dist loadfile --no-loadscope-reorder "$@"
run --phase alone "$@"
exit "$failed"
