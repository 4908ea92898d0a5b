"""Where what is printed goes: a place that is full, and a reader that went away."""

import subprocess
import sys
from pathlib import Path

import pytest

OUTRIDER = [sys.executable, "-m", "outrider_cli.main"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is missing")
@pytest.mark.parametrize("words", [("rules", "list"), ("rules", "check", "/dev/null"), ("fields", "--json")])
def test_a_place_that_is_full_is_told_in_a_line(words: tuple[str, ...]) -> None:
    """However little was to be written: misuse, and no traceback."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*OUTRIDER, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "outrider: the output could not be written: No space left on device\n"


def test_a_reader_that_goes_away_is_no_mistake() -> None:
    """`outrider fields | head -n 1`."""
    with subprocess.Popen(
        [*OUTRIDER, "fields"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=0
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert "Traceback" not in process.stderr.read()
