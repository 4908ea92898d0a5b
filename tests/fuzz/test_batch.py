"""The batch, fuzzed by coverage: whatever comes, it is a batch or a WireError, and memory does not grow."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from outrider_wire.events import Event

SUPPORT = Path(__file__).parents[1] / "support"
SECONDS = 600


def fuzz(folder: Path, *options: str, timeout_s: float = 60.0) -> str:
    """Run the fuzzer; what it said, where it found nothing."""
    command = [
        sys.executable,
        "-m",
        "batch_fuzz",
        *options,
        "-max_len=4096",
        f"-artifact_prefix={folder}/",
        str(folder),
    ]
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT), "TMPDIR": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, cwd=folder, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


def test_every_input_is_a_batch_or_refused(tmp_path: Path) -> None:
    """Twenty thousand inputs, the same each time, which begin with good ones of every depth."""
    said = fuzz(tmp_path, "-runs=20000", "-seed=1")
    assert "Done 20000 runs" in said
    outcomes = ast.literal_eval(said.partition("the seeds: ")[2].partition("\n")[0])
    assert outcomes.pop("bad-header") == 1 and set(outcomes) == {"read"}, outcomes
    assert outcomes["read"] == 4 + len(get_args(Event)), "good ones of every depth, one for each kind of event"


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 60)
def test_every_input_is_a_batch_or_refused_for_long(tmp_path: Path) -> None:
    """Ten minutes of inputs, other ones each time."""
    assert "Done " in fuzz(tmp_path, f"-max_total_time={SECONDS}", timeout_s=SECONDS + 30)
