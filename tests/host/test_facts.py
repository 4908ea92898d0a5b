"""Facts of programs put together of what is left of them."""

from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.sensors.host.facts import Opened, complete, grade_of, name_opened, split_opened, take_opened
from outrider_wire.events import Descriptor, FileFacts, ProcessExecuted, ProcessId

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


def opened(*files: FileFacts, execs: int = 1) -> list[Opened]:
    return [name_opened(group) for group in split_opened(files, execs)]


def test_one_exec_opens_its_program_and_its_linker() -> None:
    """A script comes before its interpreter, and linkers end each exec."""
    assert opened() == []
    assert opened(TRUE, LOADER) == [Opened(TRUE)]
    assert opened(SCRIPT, SH, LOADER) == [Opened(SH, SCRIPT)]
    assert opened(STATIC) == [Opened(STATIC)]
    assert opened(SCRIPT, STATIC) == [Opened(STATIC, SCRIPT)]
    assert opened(LOADER) == [Opened(LOADER)]


def test_several_execs_are_told_apart() -> None:
    """Each exec of a chain has its own program."""
    assert opened(SH, LOADER, TRUE, LOADER, execs=2) == [Opened(SH), Opened(TRUE)]
    assert opened(STATIC, STATIC, execs=2) == [Opened(STATIC), Opened(STATIC)]


def test_each_exec_takes_what_it_opened() -> None:
    """What was opened for the next exec is left for it."""
    first, rest = take_opened([SH, LOADER, TRUE, LOADER], SH)
    assert (first, rest) == (Opened(SH), [TRUE, LOADER])
    assert take_opened(rest, FileFacts("")) == (Opened(TRUE), [])


def test_what_was_read_late_may_be_of_the_next_exec() -> None:
    """A program that a later exec opened is not this one's; one that was read at once is believed."""
    files = [SH, LOADER, TRUE, LOADER]
    assert take_opened(files, TRUE) == (Opened(SH), [TRUE, LOADER])
    assert take_opened(files, TRUE, is_late=False) == (None, [])
    event, grade = complete(WHOLE, Opened(SH), BEFORE)
    assert (event.exe, event.argv, grade) == (SH, (), "completed")


def test_a_program_where_nobody_watches_is_believed() -> None:
    """Only its linker was seen to be opened: what was read stands, and nothing is left over."""
    hidden = FileFacts("/memfd:x (deleted)")
    assert take_opened([LOADER], hidden) == (None, [])
    assert take_opened([LOADER, TRUE, LOADER], TRUE) == (None, [])


def test_what_was_read_in_time_is_whole() -> None:
    """Nothing is put beside what was read of the process itself."""
    assert complete(WHOLE, Opened(TRUE), BEFORE) == (WHOLE, "whole")


def test_a_program_that_is_gone_is_known_by_what_it_opened() -> None:
    """File and script are exact; ids and directory are those of the fork, and named as not read."""
    event, grade = complete(GONE, Opened(SH, SCRIPT), BEFORE)
    assert (event.exe, event.script, grade) == (SH, SCRIPT, "completed")
    assert (event.uid, event.gid, event.cwd, event.sid, event.tty) == (5, 6, "/srv", 7, 3)
    assert (event.argv, event.env, event.stdio, event.comm) == ((), {}, (), "")
    assert set(event.missing) == {"argv", "env", "cwd", "ids", "stdio", "stat"}


def test_ids_of_a_set_user_id_program_are_not_the_parents() -> None:
    """Whose file takes other ids has none told rather than wrong ones."""
    event, _ = complete(GONE, Opened(SU), BEFORE)
    assert (event.uid, event.euid) == (-1, -1)


def test_nothing_known_is_poor() -> None:
    """Without anything that was opened the program is not guessed: also not from the parent's."""
    event, grade = complete(GONE, None, BEFORE)
    assert (event.exe.path, event.script, event.uid, grade) == ("", None, -1, "poor")
    assert "exe" in event.missing


def test_a_process_that_ends_while_it_is_read_shows_no_arguments() -> None:
    """Empty arguments of one that is ending are missing; those of a program started without any are not."""
    ending = ProcessExecuted(2, WHO, exe=TRUE, stdio=(Descriptor(0, "/dev/null"),), missing=())
    event, grade = complete(ending, None, None)
    assert (set(event.missing), grade) == ({"argv", "env"}, "completed")
    bare = ProcessExecuted(2, WHO, exe=TRUE, execfn="/bin/true")
    assert complete(bare, None, None) == (bare, "whole")


FILES = st.sampled_from([LOADER, TRUE, SH, SCRIPT, STATIC])


@given(st.lists(FILES, max_size=12), st.integers(1, 5))
def test_no_file_is_lost_or_made_up(files: list[FileFacts], execs: int) -> None:
    """Every program told of was opened."""
    assert [file for group in split_opened(files, execs) for file in group] == files
    for each in opened(*files, execs=execs):
        assert each.exe in files
        assert each.script is None or each.script in files


def test_grades() -> None:
    """A missing cgroup does not make a program less known."""
    assert grade_of(ProcessExecuted(2, WHO, exe=TRUE, execfn="x", missing=("cgroup", "sockets"))) == "whole"
