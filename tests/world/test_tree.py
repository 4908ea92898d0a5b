"""The process tree: identity, ancestry that outlives its members, and bounds."""

from outrider_sidecar.world.tree import MAX_DEAD_IN_FULL, ProcessTree
from outrider_wire.events import Descriptor, FileFacts, ProcessExecuted, ProcessExited, ProcessId, ProcessStarted


def pid(number: int, ticks: int | None = None) -> ProcessId:
    return ProcessId(number, number if ticks is None else ticks)


def forked(number: int, parent: int | None) -> ProcessStarted:
    return ProcessStarted(number, pid(number), pid(parent) if parent else None, mnt_ns=0 if parent else 7)


def executed(number: int, path: str) -> ProcessExecuted:
    return ProcessExecuted(number, pid(number), exe=FileFacts(path=path), comm=path, argv=(path,))


def test_a_child_begins_as_its_parent():
    """After a fork and before an exec a process runs what its parent runs, in the same container."""
    tree = ProcessTree()
    tree.start(forked(1, None))
    tree.execute(executed(1, "/bin/sh"))
    child = tree.start(forked(2, 1))
    assert (child.exe.path, child.mnt_ns, child.name) == ("/bin/sh", 7, "/bin/sh")


def test_ancestry_outlives_its_members():
    """An ancestor that ended is still told of."""
    tree = ProcessTree(max_dead=0)
    for number, parent in ((1, None), (2, 1), (3, 2)):
        tree.start(forked(number, parent))
    tree.exit(ProcessExited(9, pid(2)))
    tree.exit(ProcessExited(9, pid(1)))
    process = tree.get(pid(3))
    assert process is not None
    assert [a.id.pid for a in tree.ancestors(process)] == [2, 1]


def test_a_used_again_pid_is_another_process():
    """The same pid with other start ticks is somebody else, and the earlier one has ended."""
    tree = ProcessTree()
    tree.start(forked(5, None))
    tree.start(ProcessStarted(6, pid(5, 999)))
    first, second = tree.get(pid(5)), tree.get(pid(5, 999))
    assert first is not None and second is not None
    assert not first.alive
    assert tree.by_pid(5) is second


def test_the_dead_are_forgotten_within_the_bound():
    """Those who are nobody's ancestors go first, oldest first."""
    tree = ProcessTree(max_dead=10)
    tree.start(forked(1, None))
    for number in range(2, 102):
        tree.start(forked(number, 1))
        tree.exit(ProcessExited(number, pid(number)))
    assert len(tree) == 11
    assert tree.get(pid(101)) is not None
    assert tree.get(pid(2)) is None
    assert tree.forgotten == 90


def test_the_whole_is_bounded_even_by_ancestors():
    """A line of dead ancestors longer than the bound is cut at its oldest."""
    tree = ProcessTree(max_processes=50, max_dead=1000)
    for number in range(1, 201):
        tree.start(forked(number, number - 1 or None))
        if number > 1:
            tree.exit(ProcessExited(number, pid(number - 1)))
    assert len(tree) <= 51
    newest = tree.get(pid(200))
    assert newest is not None
    assert [a.id.pid for a in tree.ancestors(newest)][:3] == [199, 198, 197]


def test_who_came_from_outside_is_known():
    """A process without a visible parent entered from outside the PID namespace."""
    tree = ProcessTree()
    assert tree.start(forked(1, None)).entered
    assert not tree.start(forked(2, 1)).entered


def test_living_processes_newest_first():
    """The living of one container, newest first."""
    tree = ProcessTree()
    for number in (1, 2, 3):
        tree.start(forked(number, number - 1 or None))
    tree.exit(ProcessExited(4, pid(2)))
    assert [p.id.pid for p in tree.living(7)] == [3, 1]


def test_of_the_dead_only_the_last_are_kept_in_full():
    """Who ended long ago is still told of by program and arguments, without environment and descriptors."""
    tree = ProcessTree()
    for number in range(1, MAX_DEAD_IN_FULL + 3):
        tree.start(forked(number, None))
        tree.execute(
            ProcessExecuted(
                number, pid(number), comm="x", argv=("x", "y"), env={"A": "b"}, stdio=(Descriptor(0, "/a"),)
            )
        )
        tree.exit(ProcessExited(number, pid(number), descriptors=(Descriptor(1, "/b"),)))
    old, late = tree.get(pid(2)), tree.get(pid(3))
    assert old is not None and late is not None
    assert (old.argv, old.env, old.stdio, old.held) == (("x", "y"), {}, (), ())
    assert (late.env, late.stdio, late.held) == ({"A": "b"}, (Descriptor(0, "/a"),), (Descriptor(1, "/b"),))
