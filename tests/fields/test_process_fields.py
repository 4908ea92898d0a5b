"""Fields of processes and of who they are, as Falco has them."""

import pytest
from transcripts import MILLISECOND, at, file, pid, ran

from outrider_sidecar.decode.status import Status
from outrider_wire.events import ProcessStarted

CURL = ran(
    9, "/usr/bin/curl", "curl", "-s", "http://x/", cwd="/srv", uid=33, gid=33, tty=34816, pgid=9, sid=1,
    env={"HTTP_PROXY": "http://p"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("proc.name", "curl"),
        ("proc.exe", "curl"),
        ("proc.exepath", "/usr/bin/curl"),
        ("proc.args", "-s http://x/"),
        ("proc.cmdline", "curl -s http://x/"),
        ("proc.cmdnargs", 2),
        ("proc.cmdlenargs", 12),
        ("proc.cwd", "/srv/"),
        ("proc.pname", "nginx"),
        ("proc.pcmdline", "nginx -g daemon off;"),
        ("proc.aname", ["nginx"]),
        ("proc.apid", [1]),
        ("proc.ppid", 1),
        ("proc.vpid", 9),
        ("proc.tty", 34816),
        ("proc.sname", "nginx"),
        ("proc.is_vpgid_leader", True),
        ("proc.is_sid_leader", False),
        ("proc.env", "HTTP_PROXY=http://p"),
        ("proc.is_exe_from_memfd", False),
        ("user.uid", 33),
        ("user.name", "www-data"),
        ("user.homedir", "/var/www"),
        ("user.loginuid", -1),
        ("group.gid", 33),
        ("evt.type", "execve"),
        ("evt.res", "SUCCESS"),
        ("evt.rawres", 0),
    ],
)
def test_a_process_is_told_of_as_falco_does(field, name, value):
    """Names, arguments, lineage, terminal and user of a process of a web server."""
    assert field(CURL, name) == value


@pytest.mark.parametrize(
    ("name", "index", "value"),
    [
        ("proc.aname", "0", "curl"),
        ("proc.aname", "1", "nginx"),
        ("proc.aname", "2", None),
        ("proc.aexe", "1", "nginx"),
        ("proc.aexepath", "1", "/usr/sbin/nginx"),
        ("proc.acmdline", "1", "nginx -g daemon off;"),
        ("proc.apid", "1", 1),
        ("proc.env", "HTTP_PROXY", "http://p"),
    ],
)
def test_the_nth_ancestor_is_found(field, name, index, value):
    """0 is the process itself, 1 its parent."""
    assert field(CURL, name, index) == value


def test_the_first_process_of_a_container_counts_as_process_1(world, field):
    """In a shared PID namespace its own pid is another; an exec'd-in shell that came later is not the first."""
    first = world.tree.get(pid(1))
    assert first is not None
    again = ran(1, "/usr/sbin/nginx", parent=None, when=2)
    assert field(again, "proc.vpid") == 1
    later = ran(50, "/bin/sh", parent=None, when=3)
    assert field(later, "proc.vpid") == 50


def test_a_login_is_inherited_from_a_living_ancestor(known, world, field):
    """The process itself is gone: its parent's login is its own."""
    known.login_uids[pid(1)] = 1000
    assert field(CURL, "user.loginuid") == 1000


def test_capabilities_are_named_as_falco_names_them(known, field):
    """By number, with CAP_ before each; and SYS_ADMIN with its like makes a container privileged."""
    known.statuses[pid(9)] = Status(effective=0b100001, permitted=1)
    known.bound = (1 << 41) - 1
    assert field(CURL, "thread.cap_effective") == "CAP_CHOWN CAP_KILL"
    assert field(CURL, "thread.cap_permitted") == "CAP_CHOWN"
    assert field(CURL, "thread.cap_inheritable") == ""
    assert field(CURL, "container.privileged") is True


def test_what_cannot_be_read_late_is_absent(field):
    """A process that is gone has no capabilities to tell of."""
    assert field(CURL, "thread.cap_effective") is None
    assert field(CURL, "container.privileged") is None


def test_durations_are_in_nanoseconds(field):
    """From the fork on, and from the last change of the executable to the exec."""
    field(ProcessStarted(at(100), pid(9), pid(1)), "proc.pid")
    late = ran(9, file("/tmp/x", changed=90), when=130)
    assert field(late, "proc.duration") == 30 * MILLISECOND
    assert field(late, "proc.exe_ino.ctime_duration_proc_start") == 40 * MILLISECOND
