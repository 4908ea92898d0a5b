"""Who changed a file, by who was there and whose arguments name it."""

import pytest

from outrider_sidecar.world.authors import infer_author
from outrider_sidecar.world.tree import ProcessTree
from outrider_wire.events import FileChanged, FileFacts, ProcessExecuted, ProcessExited, ProcessId

SECOND_NS = 1_000_000_000
START_NS = 1_000 * SECOND_NS
PATH = "/srv/data/file"
MNT_NS = 7


def tree_of(*programs: tuple[int, str, float, float]) -> ProcessTree:
    """A tree of (pid, argument, seconds of its exec, seconds of its end or 0)."""
    tree = ProcessTree()
    for pid, argument, began_s, ended_s in programs:
        process = ProcessId(pid, pid)
        at_ns = START_NS + int(began_s * SECOND_NS)
        tree.execute(ProcessExecuted(at_ns, process, argv=("tool", argument), cwd="/", mnt_ns=MNT_NS))
        if ended_s:
            tree.exit(ProcessExited(START_NS + int(ended_s * SECOND_NS), process))
    return tree


def changed(change: str = "created", *, told_s: float, ctime_s: float) -> FileChanged:
    file = FileFacts(PATH, ctime_ns=START_NS + int(ctime_s * SECOND_NS) if ctime_s else 0)
    return FileChanged(START_NS + int(told_s * SECOND_NS), change, file, mnt_ns=MNT_NS)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", ["created", "written", "attributes", "linked", "moved_in"])
def test_a_program_started_after_the_change_did_not_make_it(change):
    """The one that removes it a moment later names it too, and is newer."""
    tree = tree_of((2, PATH, 1.0, 1.1), (3, PATH, 1.5, 1.6))
    assert infer_author(tree, changed(change, told_s=1.7, ctime_s=1.05)) == ProcessId(2, 2)


def test_a_program_that_had_ended_did_not_make_it():
    """The one that made its directory half a second earlier is not named; then nobody is."""
    tree = tree_of((2, "/srv/data", 1.0, 1.1))
    assert infer_author(tree, changed(told_s=1.7, ctime_s=1.6)) is None


def test_a_clock_tick_is_allowed_for():
    """ctime may lie a little before the exec of the program that made the change."""
    tree = tree_of((2, PATH, 1.0, 1.1))
    assert infer_author(tree, changed(told_s=1.2, ctime_s=0.99)) == ProcessId(2, 2)


@pytest.mark.parametrize(("change", "ctime_s"), [("deleted", 0.5), ("opened", 0.5), ("created", 0)])
def test_where_the_file_does_not_tell_the_newest_that_names_it_is_taken(change, ctime_s):
    """A deleted file has no ctime to go by, and reading leaves none."""
    tree = tree_of((2, PATH, 1.0, 1.1), (3, PATH, 1.2, 0))
    assert infer_author(tree, changed(change, told_s=1.3, ctime_s=ctime_s)) == ProcessId(3, 3)


def test_a_program_started_after_it_was_told_did_not_read_the_file():
    """A reading is told of when it is done; the next that names the file came later."""
    tree = tree_of((2, PATH, 1.0, 1.1), (3, PATH, 1.4, 0))
    assert infer_author(tree, changed("opened", told_s=1.3, ctime_s=0)) == ProcessId(2, 2)
