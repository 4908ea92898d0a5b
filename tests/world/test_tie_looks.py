"""When shells are looked at, and how much time that may take."""

import pytest

from outrider_sidecar.world.lineage import Held
from outrider_sidecar.world.shells import Shells
from outrider_sidecar.world.ties import LOOKS_AFTER_S, MAX_BUSY_SHARE, MAX_CONNECTION_SHARE, TieTracker
from outrider_sidecar.world.tree import ProcessTree
from outrider_wire.events import (
    ConnectionOpened,
    Descriptor,
    FileFacts,
    ProcessExecuted,
    ProcessId,
    SocketFacts,
    StdioTied,
)

SHELL = ProcessId(7, 1)
PIPE = (Descriptor(0, "pipe:[1]", 1, 0, "r"), Descriptor(1, "pipe:[2]", 2, 0, "w"))


class Scene:
    """A tracker whose clocks are given. `costs_s` of processor's time a look takes, and `takes_s` of everybody's."""

    def __init__(self, *, costs_s: float = 0.0, takes_s: float = 0.0) -> None:
        self.now_s = self.spent_s = 0.0
        self.costs_s, self.takes_s = costs_s, takes_s
        self.looked_at_s: list[float] = []
        self.tree = ProcessTree()
        shells = Shells(lambda _: "", lambda _: frozenset())
        self.ties = TieTracker(
            self.tree, shells, self.look, clock=lambda: self.now_s, spent=lambda: self.spent_s, near=lambda _: {5}
        )
        event = ProcessExecuted(0, SHELL, exe=FileFacts("/bin/sh"), argv=("sh",), stdio=PIPE, mnt_ns=5)
        self.ties.executed(self.tree.execute(event), 0)

    def look(self, _processes):
        if not self.looked_at_s or self.now_s > self.looked_at_s[-1] + self.takes_s:
            self.looked_at_s.append(self.now_s)
        self.spent_s += self.costs_s / 2  # relatives, then neighbours
        self.now_s += self.takes_s / 2
        return [], {}

    def pass_time(self, until_s: float, *, connecting: bool = False) -> list[float]:
        """A tick each 10 ms; when was looked."""
        self.looked_at_s = []
        while self.now_s < until_s:
            self.now_s += 0.01
            if connecting:
                self.ties.connected(ConnectionOpened(0, "192.0.2.1", 1, "192.0.2.2", 2, "outbound", False, mnt_ns=5))
            self.ties.tick(0)
        return self.looked_at_s


def test_a_shell_is_looked_at_a_few_times_soon_after_its_start() -> None:
    """And then no more."""
    looked = Scene().pass_time(4.0)
    assert looked == pytest.approx(LOOKS_AFTER_S[1:], abs=0.011)


def test_waiting_for_a_processor_costs_nothing() -> None:
    """On a busy machine a look takes long and costs as little as ever: it is not put off for that."""
    looked = Scene(costs_s=0.001, takes_s=0.02).pass_time(0.45)
    assert len(looked) == len([after_s for after_s in LOOKS_AFTER_S if 0 < after_s < 0.45])


def test_looks_take_no_more_than_their_share() -> None:
    """What costs much is done seldom."""
    looked = Scene(costs_s=0.1, takes_s=0.1).pass_time(0.45)
    assert len(looked) <= 1 + 0.45 * MAX_BUSY_SHARE / 0.1


def test_many_connections_put_off_no_look_that_is_due_and_are_looked_for_seldom() -> None:
    """A shell in a busy service's container is looked at as in any other."""
    scene = Scene(costs_s=0.004)
    looked = scene.pass_time(4.0, connecting=True)
    for after_s in LOOKS_AFTER_S[1:]:
        assert any(after_s <= at_s <= after_s + 0.031 for at_s in looked), (after_s, looked)
    assert len(looked) <= len(LOOKS_AFTER_S) + 4.0 * MAX_CONNECTION_SHARE / 0.004


LOOP, FEEDER, CHILD = ProcessId(8, 1), ProcessId(9, 1), ProcessId(10, 1)
CONNECTION = SocketFacts(90, "tcp", "192.0.2.1", 5000, "192.0.2.2", 443, "ESTABLISHED", direction="outbound")


def loop_that_runs_what_it_reads(*, keeps: bool, spoke: list[bool]) -> tuple[TieTracker, list[StdioTied]]:
    """`cat <&5 | while read line; do eval "$line" >&5 2>&5; done`, and a child of the loop that ended unread."""
    tree, own = ProcessTree(), Descriptor(5, "socket:[90]", 90, 0, "rw")
    loop = (Descriptor(0, "pipe:[1]", 1, 0, "r"), Descriptor(1, "/dev/null"), *((own,) if keeps else ()))
    feeder = (Descriptor(0, "socket:[90]", 90), Descriptor(1, "pipe:[1]", 1, 0, "w"), own)
    for who, program in ((LOOP, "/bin/bash"), (FEEDER, "/bin/cat")):
        tree.execute(ProcessExecuted(0, who, exe=FileFacts(program), argv=(program, "-c", ""), mnt_ns=5))
    held = [Held(LOOP, loop, 5), Held(FEEDER, feeder, 5)]

    def look(processes):
        asked = {process.id for process in processes}
        return [one for one in held if one.process in asked], {90: CONNECTION}

    now_s = [0.0]
    ties = TieTracker(
        tree,
        Shells(lambda _: "", lambda _: frozenset()),
        look,
        clock=lambda: now_s[0],
        near=lambda _: {5},
        spoke_last=lambda _connection, _process: spoke.pop(0) if spoke else False,
    )
    child = tree.execute(ProcessExecuted(0, CHILD, LOOP, exe=FileFacts("/usr/bin/id"), mnt_ns=5))
    told = ties.executed(child, 0)
    while now_s[0] < 4.0:
        now_s[0] += 0.01
        told += ties.tick(0)
    return ties, told


@pytest.mark.parametrize("spoke", [[True], [False, False, True]])
def test_a_child_that_was_gone_unread_is_told_by_what_was_sent_back(spoke):
    """At once, or as soon as the answer is on its way; once."""
    _, told = loop_that_runs_what_it_reads(keeps=True, spoke=spoke)
    assert [(one.process, one.tie, one.remote, one.direction) for one in told] == [
        (LOOP, "socket", "192.0.2.2", "outbound")
    ]


@pytest.mark.parametrize(("keeps", "spoke"), [(True, []), (False, [True] * 9)])
def test_a_script_that_only_reads_what_it_asked_for_is_not_told(keeps, spoke):
    """Nothing was sent since; or the loop has no connection that anything of it could have been sent on."""
    assert loop_that_runs_what_it_reads(keeps=keeps, spoke=spoke)[1] == []


@pytest.mark.parametrize("heard", [True, False])
def test_a_report_that_nobody_asked_for_is_not_told(heard):
    """`report >&5 2>&5`: output and errors go out, and nothing ever came in that could be a command."""
    tree = ProcessTree()
    held = Held(LOOP, (Descriptor(0, "/dev/null"), Descriptor(5, "socket:[90]", 90, 0, "rw")), 5)
    ties = TieTracker(
        tree,
        Shells(lambda _: "", lambda _: frozenset()),
        lambda _processes: ([held], {90: CONNECTION}),
        clock=lambda: 0.0,
        near=lambda _: {5},
        has_heard=lambda connection, process: heard and (connection, process) == (CONNECTION, LOOP),
    )
    tree.execute(ProcessExecuted(0, LOOP, exe=FileFacts("/bin/bash"), argv=("bash", "-c", ""), mnt_ns=5))
    streams = (Descriptor(1, "socket:[90]", 90), Descriptor(2, "socket:[90]", 90))
    event = ProcessExecuted(0, CHILD, LOOP, exe=FileFacts("/bin/df"), stdio=streams, sockets=(CONNECTION,), mnt_ns=5)
    assert bool(ties.executed(tree.execute(event), 0)) is heard
