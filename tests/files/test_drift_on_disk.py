"""Drift by the rule, on real files: what the sensor tells is observed, what stat says is judged.

Each case does something real to a file of an overlay, in a directory that is watched, and names the verdict. The
near misses stand beside the hits.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from outrider_sidecar.linux.procfs import file_facts
from outrider_sidecar.world.drift import DriftRecord
from outrider_wire.events import FileFacts

OLD_NS = 1_000_000_000


def _age(path: Path) -> None:
    os.utime(path, ns=(OLD_NS, OLD_NS))


def copied(root: Callable[[str], Path]) -> str:
    shutil.copyfile(root("/usr/bin/true"), root("/tmp/x"))
    return "/tmp/x"


def copied_with_times(root: Callable[[str], Path]) -> str:
    subprocess.run(["cp", "-p", root("/usr/bin/true"), root("/tmp/x")], check=True)
    return "/tmp/x"


def copied_and_dated_back(root: Callable[[str], Path]) -> str:
    copied(root)
    _age(root("/tmp/x"))
    return "/tmp/x"


def moved(root: Callable[[str], Path]) -> str:
    root("/usr/bin/true").rename(root("/usr/bin/ls"))
    return "/usr/bin/ls"


def renamed_over(root: Callable[[str], Path]) -> str:
    shutil.copy2(root("/usr/bin/true"), root("/usr/bin/.new"))
    _age(root("/usr/bin/.new"))
    root("/usr/bin/.new").rename(root("/usr/bin/tool"))
    return "/usr/bin/tool"


def overwritten(root: Callable[[str], Path]) -> str:
    root("/usr/bin/tool").write_text("#!/bin/sh\nevil\n")
    return "/usr/bin/tool"


def overwritten_and_dated_back(root: Callable[[str], Path]) -> str:
    overwritten(root)
    _age(root("/usr/bin/tool"))
    return "/usr/bin/tool"


def written_through_an_old_descriptor_and_dated_back_before_closing(root: Callable[[str], Path]) -> str:
    with open(root("/usr/bin/tool"), "r+b") as file:
        file.write(b"#!/bin/evil")
        file.flush()
        os.utime(file.fileno(), ns=(OLD_NS, OLD_NS))
    return "/usr/bin/tool"


def linked(root: Callable[[str], Path]) -> str:
    os.link(root("/usr/bin/true"), root("/usr/bin/link"))
    return "/usr/bin/link"


def in_a_directory_renamed_afterwards(root: Callable[[str], Path]) -> str:
    root("/tmp/d").mkdir()
    subprocess.run(["cp", "-p", root("/usr/bin/true"), root("/tmp/d/x")], check=True)
    root("/tmp/d").rename(root("/tmp/e"))
    return "/tmp/e/x"


def opened_for_writing_and_not_written(root: Callable[[str], Path]) -> str:
    with open(root("/usr/bin/tool"), "r+b"):
        pass
    root("/usr/bin/tool").chmod(0o755)
    return "/usr/bin/tool"


def untouched(root: Callable[[str], Path]) -> str:
    return "/usr/bin/tool"


def same_mode_set(root: Callable[[str], Path]) -> str:
    root("/usr/bin/tool").chmod(os.stat(root("/usr/bin/tool")).st_mode & 0o7777)
    return "/usr/bin/tool"


def made_executable(root: Callable[[str], Path]) -> str:
    root("/usr/bin/tool").chmod(0o755)
    return "/usr/bin/tool"


def same_owner_set(root: Callable[[str], Path]) -> str:
    status = os.stat(root("/usr/bin/tool"))
    os.chown(root("/usr/bin/tool"), status.st_uid, status.st_gid)
    return "/usr/bin/tool"


def access_time_set(root: Callable[[str], Path]) -> str:
    status = os.stat(root("/usr/bin/tool"))
    os.utime(root("/usr/bin/tool"), ns=(time.time_ns(), status.st_mtime_ns))
    return "/usr/bin/tool"


def dated_further_back(root: Callable[[str], Path]) -> str:
    _age(root("/usr/bin/tool"))
    return "/usr/bin/tool"


def given_a_second_name(root: Callable[[str], Path]) -> str:
    os.link(root("/usr/bin/true"), root("/usr/bin/link"))
    return "/usr/bin/true"


def run_and_read(root: Callable[[str], Path]) -> str:
    root("/usr/bin/tool").read_bytes()
    return "/usr/bin/tool"


def neighbour_replaced(root: Callable[[str], Path]) -> str:
    shutil.copyfile(root("/usr/bin/true"), root("/usr/bin/tool2"))
    root("/usr/bin/tool2").rename(root("/usr/bin/tool3"))
    root("/usr/bin/tool").chmod(0o700)
    return "/usr/bin/tool"


def copied_from_and_directory_changed(root: Callable[[str], Path]) -> str:
    shutil.copyfile(root("/usr/bin/tool"), root("/tmp/copy"))
    root("/usr/bin").chmod(0o755)
    return "/usr/bin/tool"


HITS = [
    copied, copied_with_times, copied_and_dated_back, moved, renamed_over, overwritten, overwritten_and_dated_back,
    written_through_an_old_descriptor_and_dated_back_before_closing, linked, in_a_directory_renamed_afterwards,
    opened_for_writing_and_not_written,
]  # fmt: skip
NEAR_MISSES = [
    untouched, same_mode_set, made_executable, same_owner_set, access_time_set, dated_further_back,
    given_a_second_name, run_and_read, neighbour_replaced, copied_from_and_directory_changed,
]  # fmt: skip


@pytest.fixture
def judged(container, watch):
    """Do something to files of a watched container with an image an hour old; what the record then says."""
    for name in ("true", "tool"):
        os.utime(container.layers[0] / "usr/bin" / name, ns=(OLD_NS, 2 * OLD_NS))
    time.sleep(0.03)  # a tick of the file system's clock, so that the image is older than the baseline
    baseline_ns = time.time_ns()
    seen = watch()
    seen.sensor.add_root(container.mnt_ns, container.pid, baseline_ns=baseline_ns)
    seen.settle()
    time.sleep(0.03)
    record = DriftRecord(baseline_ns, lambda directory: seen.sensor.sight(container.mnt_ns, directory))

    def judge(act: Callable[[Callable[[str], Path]], str]):
        path = act(container.path)
        seen.catch_up()
        for event in seen.changes:
            record.observe(event)
        return record.judge(file_facts(path, os.stat(container.path(path)))), container, record

    return judge


@pytest.mark.parametrize("act", HITS, ids=lambda act: act.__name__)
def test_new(judged, act):
    """Whatever puts bytes or a name there is drift, also with old times on it."""
    drift, *_ = judged(act)
    assert drift.verdict == "new", drift


@pytest.mark.parametrize("act", NEAR_MISSES, ids=lambda act: act.__name__)
def test_old(judged, act):
    """What leaves the bytes and the name alone is not drift, though ctime is new."""
    drift, *_ = judged(act)
    assert drift.verdict == "old", drift


def test_silence_is_said_to_be_what_a_verdict_rests_on(judged):
    """A verdict by what was not told is marked, an untouched file's is not."""
    assert judged(same_mode_set)[0].by_silence
    assert not judged(lambda root: "/usr/bin/true")[0].by_silence


def test_changed_before_the_watch_began_is_undecided(container, watch):
    """cp -p between the container's start and the watch: found, and neither new nor old can be said."""
    baseline_ns = time.time_ns()
    time.sleep(0.03)
    os.utime(container.path("/usr/bin/true"), ns=(OLD_NS, OLD_NS))
    seen = watch()
    seen.sensor.add_root(container.mnt_ns, container.pid, baseline_ns=baseline_ns)
    seen.settle()
    record = DriftRecord(baseline_ns, lambda directory: seen.sensor.sight(container.mnt_ns, directory))
    container.path("/usr/bin/true").chmod(0o700)
    seen.catch_up()
    for event in seen.changes:
        record.observe(event)
    drift = record.judge(file_facts("/usr/bin/true", os.stat(container.path("/usr/bin/true"))))
    assert (drift.verdict, seen.said("/usr/bin/true")[0]) == ("undecided", "found")


def test_where_nothing_is_watched_an_old_mtime_is_undecided(judged):
    """In a directory that is no place, a new ctime with an old mtime cannot be decided."""
    _, container, record = judged(copied)
    path = container.path("/proc/x")
    shutil.copyfile("/bin/true", path)
    _age(path)
    assert record.judge(file_facts("/proc/x", os.stat(path))).verdict == "undecided"


def test_a_file_without_a_name_is_fileless(tmp_path):
    """Unlinked, O_TMPFILE and memfd files have no link left when they are started."""
    record = DriftRecord(time.time_ns())
    path = tmp_path / "x"
    path.write_text("x")
    unlinked = os.open(path, os.O_RDONLY)
    path.unlink()
    temporary = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    memory = os.memfd_create("x")
    try:
        for fd, name in ((unlinked, f"{path} (deleted)"), (temporary, "/tmp/#12 (deleted)"), (memory, "/memfd:x")):
            assert record.judge(file_facts(name, os.fstat(fd))).verdict == "fileless"
    finally:
        for fd in (unlinked, temporary, memory):
            os.close(fd)


def test_a_file_that_is_only_called_deleted_is_not_fileless(tmp_path):
    """A name that ends in ` (deleted)`, or is /memfd:x, is a name as any other."""
    path = tmp_path / "x (deleted)"
    path.write_text("x")
    record = DriftRecord(0)
    assert record.judge(file_facts(str(path), os.stat(path))).verdict == "new"
    assert record.judge(file_facts("/memfd:x", os.stat(path))).verdict == "new"
    assert record.judge(FileFacts("/memfd:x")).verdict == "fileless"
