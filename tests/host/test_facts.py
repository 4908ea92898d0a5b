"""Facts of programs put together of what is left of them."""

import os
import socket
import subprocess
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.linux.execfacts import FactReader
from outrider_sidecar.sensors.host.facts import Match, Opened, complete, grade_of, is_one_start, match_opened
from outrider_wire.events import Descriptor, FileFacts, ProcessExecuted, ProcessId, SocketFacts

from .conftest import is_running, wait_until

WHO = ProcessId(7, 100)
LOADER = FileFacts("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
TRUE = FileFacts("/usr/bin/true", mode=0o100755)
SH = FileFacts("/usr/bin/dash", mode=0o100755)
SCRIPT = FileFacts("/opt/run.sh", mode=0o100755)
STATIC = FileFacts("/usr/bin/busybox", mode=0o100755)
SU = FileFacts("/usr/bin/su", mode=0o104755)
BEFORE = ProcessExecuted(
    1,
    WHO,
    exe=SH,
    argv=("sh",),
    env={"LD_PRELOAD": "x"},
    cwd="/srv",
    uid=5,
    euid=5,
    gid=6,
    egid=6,
    tty=3,
    pgid=7,
    sid=7,
)
GONE = ProcessExecuted(2, WHO, missing=("process",))
WHOLE = ProcessExecuted(2, WHO, comm="true", exe=TRUE, argv=("true",), execfn="/bin/true", cwd="/", uid=0, euid=0)


def read(exe: FileFacts, script: FileFacts | None = None) -> ProcessExecuted:
    return ProcessExecuted(2, WHO, exe=exe, script=script, argv=("x",), execfn="x")


def test_the_program_of_one_exec_is_what_it_opened() -> None:
    """A script comes before its interpreter, the linker last; who opened a linker alone runs that."""
    assert match_opened([], GONE) == Match()
    assert match_opened([TRUE, LOADER], GONE) == Match(Opened(TRUE))
    assert match_opened([SCRIPT, SH, LOADER], GONE) == Match(Opened(SH, SCRIPT))
    assert match_opened([STATIC], GONE) == Match(Opened(STATIC))
    assert match_opened([SCRIPT, STATIC], GONE) == Match(Opened(STATIC, SCRIPT))
    assert match_opened([LOADER], GONE) == Match(Opened(LOADER))


def test_what_may_be_of_two_execs_is_not_taken_for_one() -> None:
    """One program and at most the linker behind it; nothing else is of one exec for certain."""
    assert is_one_start([TRUE, LOADER]) and is_one_start([STATIC])
    for files in ([], [LOADER], [LOADER, TRUE], [SCRIPT, SH], [SCRIPT, SH, LOADER], [LOADER, TRUE, LOADER]):
        assert not is_one_start(files), files


def test_of_quick_execs_only_what_is_certain_is_told() -> None:
    """A file that was opened twice is told of once: behind the first program there may be others between."""
    assert match_opened([SH, LOADER, TRUE, STATIC], GONE, later=3) == Match(Opened(SH))
    assert match_opened([SCRIPT, SH, LOADER], GONE, later=1) == Match()
    assert match_opened([STATIC, TRUE], GONE, later=1) == Match()
    assert match_opened([STATIC], GONE, later=1) == Match()


def test_what_was_read_late_may_be_of_the_next_exec() -> None:
    """A program that a later exec opened is not this one's; one that was read at once is believed."""
    files = [SH, LOADER, TRUE]
    late = match_opened(files, read(TRUE))
    assert late == Match(Opened(SH), is_believed=False)
    assert match_opened(files, read(TRUE), is_late=False) == Match()
    assert match_opened([SH, TRUE], read(TRUE), later=2) == Match(is_believed=False)
    event, grade = complete(WHOLE, late, BEFORE)
    assert (event.exe, event.argv, grade) == (SH, (), "completed")


def test_a_script_is_known_by_both_of_its_files() -> None:
    """An interpreter that was read with its script is believed; without, it may be of a later exec."""
    assert match_opened([SCRIPT, SH, LOADER], read(SH, SCRIPT)) == Match()
    assert match_opened([SCRIPT, SH, LOADER], read(SH)) == Match(is_believed=False)
    assert match_opened([SCRIPT, SH, LOADER], read(SH), is_late=False) == Match()


def test_a_program_where_nobody_watches_is_believed() -> None:
    """Only its linker was seen to be opened, or something else: what was read stands."""
    hidden = read(FileFacts("/memfd:x (deleted)"))
    assert match_opened([LOADER], hidden) == Match()
    assert match_opened([TRUE, LOADER], hidden) == Match()


def test_what_was_read_in_time_is_whole() -> None:
    """Nothing is put beside what was read of the process itself."""
    assert complete(WHOLE, Match(), BEFORE) == (WHOLE, "whole")


def test_a_program_that_is_gone_is_known_by_what_it_opened() -> None:
    """File and script are exact; ids and directory are those of the fork, and named as not read."""
    event, grade = complete(GONE, Match(Opened(SH, SCRIPT)), BEFORE)
    assert (event.exe, event.script, grade) == (SH, SCRIPT, "completed")
    assert (event.uid, event.gid, event.cwd, event.sid, event.tty) == (5, 6, "/srv", 7, 3)
    assert (event.argv, event.env, event.stdio, event.comm) == ((), {}, (), "")
    assert set(event.missing) == {"argv", "env", "cwd", "ids", "stdio", "stat"}


def test_ids_of_a_set_user_id_program_are_not_the_parents() -> None:
    """Whose file takes other ids has none told rather than wrong ones."""
    event, _ = complete(GONE, Match(Opened(SU)), BEFORE)
    assert (event.uid, event.euid) == (-1, -1)


def test_nothing_known_is_poor() -> None:
    """Without anything that was opened the program is not guessed: also not from the parent's."""
    event, grade = complete(GONE, Match(), BEFORE)
    assert (event.exe.path, event.script, event.uid, grade) == ("", None, -1, "poor")
    assert "exe" in event.missing


def test_a_process_that_ends_while_it_is_read_shows_no_arguments() -> None:
    """Empty arguments of one that is ending are missing; those of a program started without any are not."""
    ending = ProcessExecuted(2, WHO, exe=TRUE, stdio=(Descriptor(0, "/dev/null"),), missing=())
    event, grade = complete(ending, Match(), None)
    assert (set(event.missing), grade) == ({"argv", "env"}, "completed")
    bare = ProcessExecuted(2, WHO, exe=TRUE, execfn="/bin/true")
    assert complete(bare, Match(), None) == (bare, "whole")


FILES = st.sampled_from([LOADER, TRUE, SH, SCRIPT, STATIC])


@given(st.lists(FILES, max_size=12), st.sampled_from([GONE, WHOLE, read(SH, SCRIPT)]), st.integers(0, 4), st.booleans())
def test_nothing_is_made_up(files: list[FileFacts], event: ProcessExecuted, later: int, is_late: bool) -> None:
    """Every program told of was opened or read."""
    match = match_opened(files, event, later=later, is_late=is_late)
    assert match.opened is None or match.opened.exe in files
    assert match.opened is None or match.opened.script in (None, *files)
    told, _ = complete(event, match, BEFORE)
    assert told.exe in (*files, event.exe, FileFacts(""))


def test_grades() -> None:
    """A missing cgroup does not make a program less known."""
    assert grade_of(ProcessExecuted(2, WHO, exe=TRUE, execfn="x", missing=("cgroup", "sockets"))) == "whole"


def test_what_ends_while_its_sockets_are_asked_for_is_known_whole() -> None:
    """The kernel's answer takes longer than a short program lives; its arguments are read before."""
    ours, theirs = socket.socketpair()
    facts = SocketFacts(os.fstat(theirs.fileno()).st_ino, "tcp", "192.0.2.1", 1, "192.0.2.2", 2, "ESTABLISHED")
    asked: list[list[int]] = []
    with subprocess.Popen(["sleep", "100"], stdin=theirs) as process:
        # its arguments come a moment after its descriptors were closed, which is what Popen waits for
        wait_until(lambda: is_running(process.pid, "sleep"), "the program")

        def find(_inodes: Iterable[int], pids: Iterable[int]) -> dict[int, SocketFacts]:
            asked.append(list(pids))
            process.kill()
            process.wait()
            return {facts.inode: facts}

        event = FactReader(find_sockets=find).read(process.pid, parent=None, seen="found")
    ours.close()
    theirs.close()
    assert (event.argv, event.missing, event.sockets) == (("sleep", "100"), (), (facts,))
    assert asked == [[process.pid, os.getpid()]], "its parent leads to the network it was in"
