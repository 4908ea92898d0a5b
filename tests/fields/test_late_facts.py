"""Late facts of running processes: read from /proc when asked, absent when the process is gone or another's."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from outrider_sidecar.linux.latefacts import ProcFacts
from outrider_sidecar.linux.procfs import file_facts, namespace, read_stat
from outrider_wire.events import ProcessId


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits to be ended."""
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def facts(sleeper: subprocess.Popen[bytes]) -> ProcFacts:
    """Facts of the mount namespace that we share with it."""
    return ProcFacts(lambda mnt_ns: [sleeper.pid], check_s=0.0)


def mount_namespace() -> int:
    return namespace(os.getpid(), "mnt")


def test_a_living_process_tells_its_capabilities_and_login(sleeper, facts):
    """Those of a child are ours."""
    process = read_stat(sleeper.pid).process
    ours = facts.status(read_stat(os.getpid()).process)
    theirs = facts.status(process)
    assert ours is not None
    assert theirs is not None
    assert theirs.effective == ours.effective
    assert facts.login_uid(process) == facts.login_uid(read_stat(os.getpid()).process)
    owner = os.stat(f"/proc/{sleeper.pid}/exe")
    assert facts.owner_of_exe(process) == (owner.st_uid, owner.st_gid)


def test_another_process_of_that_pid_is_not_taken_for_it(sleeper, facts):
    """Start ticks tell them apart."""
    other = ProcessId(sleeper.pid, 1)
    assert facts.status(other) is None
    assert facts.login_uid(other) in (None, -1)
    assert facts.owner_of_exe(other) is None


def test_a_process_that_is_gone_tells_nothing(sleeper, facts):
    """None, and no error."""
    process = read_stat(sleeper.pid).process
    sleeper.kill()
    sleeper.wait()
    assert facts.status(process) is None
    assert facts.accounts(mount_namespace()) is None
    assert facts.mounts(mount_namespace()) is None
    assert facts.link_target(mount_namespace(), "/proc/self") is None


def test_accounts_and_mounts_are_those_of_the_root(facts):
    """Root is root, and there is a root mount."""
    accounts = facts.accounts(mount_namespace())
    assert accounts is not None
    assert accounts.users[0].name == "root"
    assert facts.accounts(mount_namespace()) is accounts
    mounts = facts.mounts(mount_namespace())
    assert mounts is not None
    assert any(mount.destination == "/" for mount in mounts)


def test_links_are_read_and_other_names_are_found(facts, tmp_path):
    """What a symbolic link says, and where else a file has a name."""
    (tmp_path / "secret").write_text("x")
    (tmp_path / "soft").symlink_to("/etc/shadow")
    inside = tmp_path / "inside"
    inside.mkdir()
    os.link(tmp_path / "secret", inside / "hard")
    assert facts.link_target(mount_namespace(), str(tmp_path / "soft")) == "/etc/shadow"
    linked = file_facts(str(inside / "hard"), os.stat(inside / "hard"))
    assert facts.other_name(mount_namespace(), linked, [str(inside)]) is None
    assert facts.other_name(mount_namespace(), linked, ["/nowhere", str(tmp_path)]) == str(tmp_path / "secret")
