"""Somebody who changes the sidecar's limits or oom score is found out."""

import os
import resource
import subprocess
import sys
from types import SimpleNamespace

from transcripts import Transcript

from outrider_sidecar.intake import Intake
from outrider_sidecar.selfcheck import SelfCheck
from outrider_wire.events import SightLost

LOWER = """
import os, resource, sys
pid = int(sys.argv[1])
soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft - 1, hard))
"""


def test_nothing_changed_is_nothing_told():
    """Looking twice tells nothing."""
    assert SelfCheck().changes() == []


def test_a_limit_set_from_outside_is_told():
    """Another process lowers our limit on open files: told once, with both values."""
    check = SelfCheck()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    subprocess.run([sys.executable, "-c", LOWER, str(os.getpid())], check=True)
    try:
        (told,) = check.changes()
        assert "the engine's limit on open files" in told
        assert str(before[0]) in told
        assert check.changes() == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_an_oom_score_set_from_outside_is_told(tmp_path):
    """The score that gives us to the OOM killer first."""
    scores = [tmp_path / str(pid) / "oom_score_adj" for pid in (os.getpid(), os.getppid())]
    for score in scores:
        score.parent.mkdir()
        score.write_text("0\n")
    check = SelfCheck(proc=tmp_path)
    scores[0].write_text("1000\n")
    (told,) = check.changes()
    assert "oom score" in told
    assert "1000" in told


def test_it_is_a_finding_of_its_own(tmp_path):
    """Not a loss of sight: nothing was missed yet."""
    score = tmp_path / str(os.getpid()) / "oom_score_adj"
    score.parent.mkdir()
    score.write_text("0\n")
    check, intake = SelfCheck(proc=tmp_path), Intake(clock_ns=lambda: 0)
    score.write_text("1000\n")
    check.chore(SimpleNamespace(intake=intake))
    event = intake.take(0.0)
    assert isinstance(event, SightLost)
    story = Transcript()
    assert story.tell(event) == [("Outrider:Integrity/SidecarTampered", "HIGH")]
    assert "from 0 to 1000" in str(story.found[0].evidence["reason"])
