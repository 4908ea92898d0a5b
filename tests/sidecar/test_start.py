"""What is wrong with the settings is said before anything is started."""

import os
import subprocess
import sys
from pathlib import Path


def start(**settings: str) -> "subprocess.CompletedProcess[str]":
    """`python -m outrider_sidecar` with these settings, which it is to refuse."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTRIDER_")}
    command = [sys.executable, "-m", "outrider_sidecar"]
    return subprocess.run(command, env=environment | settings, capture_output=True, text=True, timeout=30, check=False)


def test_a_journal_that_cannot_be_written_is_misuse(tmp_path: Path) -> None:
    """One line says which; nothing is started again and again."""
    (tmp_path / "file").touch()
    refused = start(OUTRIDER_JOURNAL_DIR=f"{tmp_path}/file/journal", OUTRIDER_MODE="host")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith(f"outrider: the journal {tmp_path}/file/journal cannot be used")


def test_a_selector_that_makes_no_sense_is_misuse(tmp_path: Path) -> None:
    """Whoever meant to leave something alone, or not, learns at once that it was not understood."""
    for mode in ("host", "task"):
        refused = start(
            OUTRIDER_JOURNAL_DIR=str(tmp_path), OUTRIDER_MODE=mode, OUTRIDER_GUARD_HOST="on", OUTRIDER_EXCLUDE="famly=x"
        )
        assert refused.returncode == 2 and "did you mean family" in refused.stderr, refused.stderr
