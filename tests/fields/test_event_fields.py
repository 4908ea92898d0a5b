"""Fields of file events, connections and questions, as Falco has them."""

import pytest
from transcripts import NS, at, pid

from outrider_sidecar.decode.mountinfo import Mount
from outrider_sidecar.fields.arguments import mode_names
from outrider_sidecar.world.kinds import event_type
from outrider_wire.events import ConnectionOpened, FileChanged, FileFacts, NameQueried, NameResolved, SyscallMade


def change(what: str, path: str = "/etc/x", *, mode: int = 0o100644, size: int = 5, **more: object) -> FileChanged:
    """A change of a file of the container."""
    facts = FileFacts(path, 1, 77, mode, size, nlink=more.pop("nlink", 1))  # type: ignore[arg-type]
    return FileChanged(at(50), what, facts, mnt_ns=NS, actor=pid(1), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "called"),
    [
        (change("created"), "open"),
        (change("written"), "open"),
        (change("opened"), "open"),
        (change("created", mode=0o40755), "mkdir"),
        (change("created", mode=0o120777), "symlink"),
        (change("created", mode=0o10644), "mknod"),
        (change("linked"), "link"),
        (change("moved_in"), "rename"),
        (change("deleted"), "unlink"),
        (change("attributes"), "chmod"),
    ],
)
def test_a_change_is_called_by_the_call_that_made_it(event, called):
    """What was created is told apart by its kind."""
    assert event_type(event) == called


@pytest.mark.parametrize(
    ("event", "name", "value"),
    [
        (change("created"), "fd.name", "/etc/x"),
        (change("created"), "fd.directory", "/etc"),
        (change("created"), "fd.filename", "x"),
        (change("created"), "fd.typechar", "f"),
        (change("created"), "fd.num", 0),
        (change("created"), "evt.is_open_write", True),
        (change("created"), "evt.is_open_read", False),
        (change("created"), "evt.arg.flags", "O_CREAT|O_WRONLY"),
        (change("created", mode=0o100755), "evt.is_open_exec", True),
        (change("written", size=0), "evt.arg.flags", "O_TRUNC|O_WRONLY"),
        (change("written"), "evt.arg.flags", "O_WRONLY"),
        (change("opened"), "evt.is_open_read", True),
        (change("opened"), "evt.is_open_write", False),
        (change("moved_out"), "evt.arg.oldpath", "/etc/x"),
        (change("moved_in"), "evt.arg.newpath", "/etc/x"),
        (change("moved_in"), "evt.arg.oldpath", None),
        (change("deleted", mode=0), "evt.arg.path", "/etc/x"),
        (change("deleted", mode=0), "evt.arg.name", "/etc/x"),
        (change("created", mode=0o40755, kind="dir"), "evt.arg.path", "/etc/x"),
        (change("created", mode=0o120777), "evt.arg.linkpath", "/etc/x"),
        (change("attributes", mode=0o104755), "evt.arg.filename", "/etc/x"),
    ],
)
def test_a_change_has_falcos_fields(field, event, name, value):
    """Names, kinds and arguments worked out of what the watch tells."""
    assert field(event, name) == value


def test_a_file_that_became_shorter_was_truncated(field):
    """Against its size when it was told of last."""
    field(change("written", size=100), "fd.name")
    assert field(change("written", size=40), "evt.arg.flags") == "O_TRUNC|O_WRONLY"
    assert field(change("written", size=60), "evt.arg.flags") == "O_WRONLY"


def test_a_touched_file_was_not_given_a_mode(field):
    """Attributes changed, the mode did not: that was no chmod."""
    assert "S_ISUID" in field(change("attributes", mode=0o104755), "evt.arg.mode")
    assert field(change("attributes", mode=0o104755), "evt.arg.mode") is None


def test_modes_are_spelt_as_falco_spells_them():
    """One word for each bit."""
    assert mode_names(0o100644) == "S_IROTH|S_IRGRP|S_IWUSR|S_IRUSR"
    assert mode_names(0) == "0"


def test_links_are_followed_late(known, field):
    """A symbolic link says what it points to; a hard link's other name is looked for."""
    known.links["/tmp/l"] = "/etc/shadow"
    known.others[77] = "/etc/sudoers"
    assert field(change("created", "/tmp/l", mode=0o120777), "evt.arg.target") == "/etc/shadow"
    assert field(change("linked", "/tmp/h"), "evt.arg.oldpath") == "/etc/sudoers"


OUT = ConnectionOpened(at(60), "10.0.0.5", 40000, "93.184.216.34", 443, direction="outbound", owner=pid(1))
IN = ConnectionOpened(at(60), "198.51.100.7", 999, "10.0.0.5", 80, direction="inbound", owner=pid(1))
ASKED = NameQueried(at(60), "pool.example", "A", server="10.0.0.2", source_port=5000, owner=pid(1))


@pytest.mark.parametrize(
    ("event", "name", "value"),
    [
        (OUT, "fd.name", "10.0.0.5:40000->93.184.216.34:443"),
        (OUT, "fd.sip", "93.184.216.34"),
        (OUT, "fd.lip", "10.0.0.5"),
        (OUT, "fd.rport", 443),
        (OUT, "fd.ip", ["10.0.0.5", "93.184.216.34"]),
        (OUT, "fd.typechar", "4"),
        (OUT, "fd.is_server", False),
        (OUT, "fd.connected", True),
        (IN, "evt.type", "accept"),
        (IN, "fd.cip", "198.51.100.7"),
        (IN, "fd.rip", "198.51.100.7"),
        (IN, "fd.lport", 80),
        (IN, "fd.is_server", True),
        (ASKED, "evt.type", "dns_query"),
        (ASKED, "fd.l4proto", "udp"),
        (ASKED, "fd.sport", 53),
        (ASKED, "fd.connected", False),
        (ASKED, "fd.name_changed", True),
        (ASKED, "fd.port", [5000, 53]),
    ],
)
def test_connections_and_questions_have_falcos_ends(field, event, name, value):
    """Client and server by who began, local and remote by which is ours."""
    assert field(event, name) == value


def test_a_server_has_the_names_that_answers_gave_it(world, field):
    """Rules compare an address's names as the task's own DNS answers told them."""
    world.apply(NameResolved(at(55), "x.example", "A", ("93.184.216.34",)))
    assert field(OUT, "fd.sip.name") == ["x.example"]


def test_a_mount_that_is_not_there_is_na(known, field):
    """Falco's rules compare with N/A; sources may hold wildcards."""
    known.mounted = (Mount("/proc", "/host/proc", "rw", "ext4"), Mount("/", "/", "rw", "overlay"))
    assert field(OUT, "container.mount.dest", "/proc*") == "/host/proc"
    assert field(OUT, "container.mount.dest", "/etc") == "N/A"
    assert field(OUT, "container.mounts") == "/proc:/host/proc::rw"


def test_a_rare_call_tells_its_arguments(field):
    """Whatever sensor told of it."""
    call = SyscallMade(at(70), pid(1), "ptrace", {"request": "PTRACE_SEIZE"}, -1)
    assert field(call, "evt.arg.request") == "PTRACE_SEIZE"
    assert field(call, "evt.res") == "-1"
