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

run -m 'side_by_side and not slow' --numprocesses 2 --dist loadfile "$@"
run -m 'in_pairs and not slow' --numprocesses 2 --dist loadfile --no-loadscope-reorder "$@"
run -m 'not side_by_side and not in_pairs and not slow' "$@"
exit "$failed"
