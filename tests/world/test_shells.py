"""What is a shell, and where it takes its commands from."""

import pytest

from outrider_sidecar.world.shells import (
    Shells,
    applet,
    may_take_commands,
    reads_commands_from_stdin,
    takes_commands,
)
from outrider_sidecar.world.tree import Process
from outrider_wire.events import FileFacts, ProcessId


def process(path: str, *argv: str, ino: int = 1) -> Process:
    return Process(ProcessId(1, 1), None, 0, exe=FileFacts(path=path, ino=ino), argv=argv, mnt_ns=9)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["sh"], True),
        (["-bash"], True),
        (["bash", "-i"], True),
        (["bash", "--login"], True),
        (["bash", "--rcfile", "x", "-i"], True),
        (["sh", "-s", "argument"], True),
        (["bash", "-o", "pipefail"], True),
        (["busybox", "sh"], True),
        (["sh", "-"], True),
        ([], True),
        (["bash", "/dev/stdin"], True),
        (["sh", "-e", "/proc/self/fd/0", "argument"], True),
        (["sh", "-c", "id"], False),
        (["bash", "-lc", "id"], False),
        (["bash", "-o", "pipefail", "-c", "id"], False),
        (["sh", "script.sh"], False),
        (["bash", "-x", "script.sh"], False),
        (["busybox", "sh", "script.sh"], False),
        (["sh", "--", "script.sh"], False),
    ],
)
def test_where_commands_come_from(argv, expected):
    """Only a shell without -c and without a script reads its commands from standard input."""
    assert reads_commands_from_stdin(argv) is expected


def test_a_shell_is_known_by_name_and_applet():
    """File names and busybox applets tell shells; other applets are none."""
    shells = Shells(lambda p: "", lambda ns: frozenset())
    assert shells.is_shell(process("/usr/bin/dash", "sh"))
    assert shells.is_shell(process("/bin/bash (deleted)", "x"))
    assert shells.is_shell(process("/bin/busybox", "busybox", "ash"))
    assert shells.is_shell(process("/bin/busybox", "sh"))
    assert not shells.is_shell(process("/bin/busybox", "nc"))
    assert not shells.is_shell(process("/bin/cat", "sh"))
    assert not shells.is_shell(process("/opt/shellac", "x"))


def test_a_renamed_shell_is_known_by_its_build_id():
    """A copy of bash under another name has bash's build id; each file is asked about once."""
    asked = []
    shells = Shells(lambda p: asked.append(p) or "abc", lambda ns: frozenset(("abc",)) if ns == 9 else frozenset())
    assert shells.is_shell(process("/tmp/update", "update", ino=5))
    assert shells.is_shell(process("/tmp/update", "update", ino=5))
    assert len(asked) == 1


def test_a_program_without_a_build_id_is_no_shell():
    """Nothing is concluded from the absence of a build id."""
    shells = Shells(lambda p: "", lambda ns: frozenset(("",)))
    assert not shells.is_shell(process("/tmp/update", "update"))


def test_the_applet_of_a_multi_call_binary():
    """The applet is the binary's own name or its first argument."""
    assert applet(["busybox", "sh"]) == "sh"
    assert applet(["/bin/sh", "-c"]) == "sh"
    assert applet(["busybox"]) == "busybox"
    assert applet([]) == ""


LOADER = "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"


@pytest.mark.parametrize(
    ("argv", "shell", "takes"),
    [
        (("ld.so", "/bin/sh"), True, True),
        (("ld.so", "--library-path", "/lib", "/usr/bin/bash", "-i"), True, True),
        (("ld.so", "/bin/sh", "-c", "id"), True, False),
        (("ld.so", "/bin/sh", "/tmp/script"), True, False),
        (("ld.so", "/bin/busybox", "ash"), True, True),
        (("ld.so", "/bin/cat"), False, True),
    ],
)
def test_a_shell_that_the_loader_runs_is_a_shell(argv, shell, takes):
    """The program that ld.so was asked to run counts, and what stands behind it."""
    started = process(LOADER, *argv)
    started.script = FileFacts(path=argv[-1])
    assert Shells(lambda p: "", lambda ns: frozenset()).is_shell(started) is shell
    assert takes_commands(started) is takes


def test_a_script_is_no_standard_input():
    """What was asked to run and is a file holds the commands; standard input by its name is standard input."""
    started = process("/bin/sh", "sh")
    started.script = FileFacts(path="/srv/script")
    assert not takes_commands(started)
    by_name = process("/bin/sh", "sh", "/dev/stdin")
    by_name.script = FileFacts(path="/tmp/fifo")
    assert takes_commands(by_name)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("sh", "-c", ". /dev/stdin"), True),
        (("bash", "-lc", "source /proc/self/fd/0"), True),
        (("bash", "-e", "-c", 'while read -r c; do eval "$c"; done'), True),
        (("sh", "-c", "IFS= ; read"), True),
        (("sh", "-c", "cat /srv/read me; read-file x; spread y"), False),
        (("sh", "-c", 'ssh -i read.key "$@"', "read x"), False),
        (("sh", "-c"), False),
        (("sh",), False),
        (("sh", "script", "-c", "read x"), True),
    ],
)
def test_text_that_may_read_more_commands(argv, expected):
    """`read`, where a command stands, and standard input by name: what follows may be commands."""
    assert may_take_commands(process("/bin/sh", *argv)) is expected
