"""Findings that a file cannot take are counted by place and reason, and no half line is left."""

import os
import resource
import signal
import subprocess
import sys

import pytest

from outrider_sidecar.outlets import LinesSink, Sinks, TellSink
from outrider_wire.findings import Finding


def a_finding(text: str = "x") -> Finding:
    at = "2026-01-01T00:00:00Z"
    return Finding("1", "Execution:ECS/X", "r", "LOW", "t", at, None, None, {}, "exact", description=text)


def test_a_full_disk_is_counted_and_said_and_keeps_no_other_sink_from_its_finding():
    """/dev/full refuses each write: both are counted, and the next sink has both."""
    told: list[Finding] = []
    sinks = Sinks(LinesSink("/dev/full"), TellSink(told.append))
    for _ in range(2):
        sinks.finding(a_finding())
    assert sinks.refused == len(told) == 2
    assert sinks.losses() == ["2 findings could not be written to /dev/full: No space left on device"]


def test_a_line_is_written_to_its_end_or_not_at_all(tmp_path):
    """A file that takes half a line (its size is limited) is cut back to whole lines."""
    path = tmp_path / "findings"
    sinks = Sinks(LinesSink(str(path)))
    sinks.finding(a_finding())
    whole = path.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 100, before[1]))
    try:
        sinks.finding(a_finding("y" * 500))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == whole
    assert sinks.losses() == [f"1 finding could not be written to {path}: File too large"]


@pytest.mark.parametrize("to", ["/dev/full", "-"])
def test_watch_says_at_its_end_what_it_could_not_write(tmp_path, to):
    """A new binary is found under watch, the file is full: that is said, and the exit code is the command's."""
    program = tmp_path / "program"
    command = f"cp /bin/true {program}; {program}; exit 3"
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "outrider_cli.main", "watch", "--quiet", "--json", to, "--", "sh", "-c", command],
            stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    where = "/dev/full" if to != "-" else "standard output"
    assert f"could not be written to {where}: {os.strerror(28)}" in done.stderr
    assert done.returncode == 3
