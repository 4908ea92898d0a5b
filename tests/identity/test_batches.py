"""A batch can be read by itself: every event in it leads to cluster, task, family, container and image."""

import contextlib
import json
import os
from pathlib import Path

import pytest
from ecs_agent import ARN, CLUSTER, IDS, PAY, TASKS, WEB

from outrider_sidecar.decode.introspection import parse_tasks
from outrider_sidecar.intel import Intel
from outrider_sidecar.journal import Journal
from outrider_sidecar.journal.journal import SEGMENT_RECORDS
from outrider_sidecar.outlets import JournalSink
from outrider_sidecar.rehearsal.stage import Stage
from outrider_sidecar.rulebook import load_rulebook
from outrider_sidecar.selecting import Selecting
from outrider_sidecar.selection import Selection
from outrider_wire.batch import BatchFacts, open_envelope, read_events, read_findings, verify_envelope
from outrider_wire.events import (
    ConnectionOpened,
    ContainerSeen,
    Event,
    FileChanged,
    FileFacts,
    FilesWatched,
    ProcessExecuted,
    ProcessId,
    ProcessReleased,
    StdioTied,
    SyscallMade,
)
from outrider_wire.findings import Finding
from outrider_wire.signing import SigningKey

BORN_NS = 1_767_323_045_500_000_000
PLACES = {1: (WEB, "app"), 2: (WEB, "sidecar-log"), 3: (PAY, "ledger")}


class Played(Stage):
    """The engine over a real journal; `batches` are what it sends."""

    def __init__(self, root: Path) -> None:
        super().__init__(load_rulebook(), baseline_ns=BORN_NS, intel=Intel({}))
        self.key = SigningKey.generate()
        self.journal = Journal.open(root, limit_bytes=8 << 20, key=self.key, clock_ns=lambda: 1)
        self.sink = JournalSink(self.journal, events=True)
        self.batches: list[tuple[list[Event], list[Finding]]] = []

    def event(self, event: Event) -> None:
        super().event(event)
        self.sink.event(event)

    def finding(self, finding: Finding) -> None:
        super().finding(finding)
        self.sink.finding(finding)

    def seal(self, *, force: bool = False) -> None:
        """Make batches of all that waits."""
        while (sealed := self.journal.seal(BatchFacts(interval_s=10.0), force=force)) is not None:
            batch = verify_envelope(open_envelope(sealed.data), self.key.public)
            self.batches.append((read_events(batch), read_findings(batch)))
            if force:
                return

    def learn(self) -> None:
        self.world.containers.learn_tasks(parse_tasks(json.dumps(TASKS).encode()), cluster=CLUSTER)

    def begin(self, mnt_ns: int, pid: int, program: str = "/bin/app") -> ProcessId:
        """The first process of a container."""
        task, name = PLACES[mnt_ns]
        cgroup = f"0::/ecs/{task}/{IDS[name]}\n"
        return self.run(mnt_ns, pid, program, cgroup=cgroup)

    def run(self, mnt_ns: int, pid: int, program: str = "/bin/app", cgroup: str = "") -> ProcessId:
        process = ProcessId(pid, pid)
        exe = FileFacts(program, 1, pid, 0o100755, 9, BORN_NS - 9, BORN_NS - 9)
        self.handle(
            ProcessExecuted(BORN_NS + pid, process, exe=exe, argv=(program,), mnt_ns=mnt_ns, cgroup=cgroup, uid=0)
        )
        return process


@pytest.fixture
def played(tmp_path):
    made = Played(tmp_path / "journal")
    yield made
    made.journal.close()


def reads_by_itself(events: list[Event]) -> int:
    """Resolve every event of one batch as a reader does, by what the batch itself has said before; how many."""
    told: dict[int, ContainerSeen] = {}
    resolved = 0
    for event in events:
        if isinstance(event, ContainerSeen):
            told[event.mnt_ns] = event
            continue
        seen = told[event.mnt_ns]
        task, name = PLACES[event.mnt_ns]
        assert (seen.task_arn, seen.cluster) == (f"{ARN}:task/{CLUSTER}/{task}", CLUSTER)
        assert (seen.name, seen.id) == (name, IDS[name])
        assert seen.family == ("web" if task == WEB else "pay")
        assert seen.image and seen.revision == "7"
        resolved += 1
    return resolved


def test_every_event_of_every_batch_of_two_tasks_resolves(played):
    """Whatever kind it is, and however the segments are cut."""
    played.learn()
    count = 0
    for turn in range(40):
        for mnt_ns in PLACES:
            pid = 100 * turn + 10 * mnt_ns
            process = played.begin(mnt_ns, pid) if turn == 0 else played.run(mnt_ns, pid)
            at_ns = BORN_NS + pid
            for event in (
                ConnectionOpened(at_ns, "10.0.0.1", 4, "10.0.0.2", 5, owner=process, attribution="exact"),
                FileChanged(at_ns, "written", FileFacts(f"/tmp/{pid}"), mnt_ns=mnt_ns),
                StdioTied(at_ns, process, "socket", "outbound"),
                SyscallMade(at_ns, process, "ptrace"),
                ProcessReleased(at_ns, process, "gdb"),
                FilesWatched(at_ns, mnt_ns, "fanotify", at_ns),
            ):
                played.handle(event)
                count += 1
            count += 1
        if turn % 7 == 0:
            played.settle()
            played.seal()
    played.settle()
    played.seal()
    assert len(played.batches) > 5
    assert sum(reads_by_itself(events) for events, _ in played.batches) == count


def test_a_segment_that_fills_up_is_followed_by_one_that_introduces_anew(played):
    """The cut comes wherever it comes; the introduction stands on the same side as its event."""
    played.learn()
    played.begin(1, 10)
    for pid in range(20, 20 + 3 * SEGMENT_RECORDS):
        played.run(1, pid)
    played.settle()
    played.seal()
    assert len(played.batches) >= 3
    assert sum(reads_by_itself(events) for events, _ in played.batches) == 1 + 3 * SEGMENT_RECORDS
    assert all(sum(isinstance(e, ContainerSeen) for e in events) == 1 for events, _ in played.batches)


def test_a_name_that_is_learnt_later_is_told_at_once(played):
    """A batch that told of a nameless container is followed by its name, though nothing more happens in it."""
    played.begin(1, 10)
    played.settle()
    played.seal()
    (first, _) = played.batches[0]
    assert [type(e) for e in first] == [ContainerSeen, ProcessExecuted]
    assert (first[0].id, first[0].name, first[0].task_arn) == (IDS["app"], "", "")
    played.learn()
    played.let_pass(0.05)
    played.seal()
    (second, _) = played.batches[1]
    assert [(e.name, e.family) for e in second] == [("app", "web")]
    played.run(1, 30)
    played.settle()
    played.seal()
    assert reads_by_itself(played.batches[2][0]) == 1


def test_findings_are_on_their_own_task(played):
    """Two tasks run a file that is not of their images: two findings, each with its task and container."""
    played.learn()
    for mnt_ns, pid in ((1, 10), (3, 30)):
        played.begin(mnt_ns, pid)
        exe = FileFacts("/tmp/new", 1, 77 + pid, 0o100755, 9, BORN_NS + 5, BORN_NS + 5)
        played.handle(ProcessExecuted(BORN_NS + 40, ProcessId(pid + 1, 1), ProcessId(pid, pid), exe=exe, mnt_ns=mnt_ns))
    played.settle()
    played.seal()
    found = [f for _, findings in played.batches for f in findings]
    assert [(f.task.family, f.task.arn, f.container.name) for f in found] == [
        ("web", f"{ARN}:task/{CLUSTER}/{WEB}", "app"),
        ("pay", f"{ARN}:task/{CLUSTER}/{PAY}", "ledger"),
    ]


def test_a_finding_of_an_untold_task_has_the_id_of_its_path(played):
    """The ARN is empty and the evidence holds what the cgroup path says."""
    played.begin(1, 10)
    exe = FileFacts("/tmp/new", 1, 77, 0o100755, 9, BORN_NS + 5, BORN_NS + 5)
    played.handle(ProcessExecuted(BORN_NS + 40, ProcessId(11, 1), ProcessId(10, 10), exe=exe, mnt_ns=1))
    played.settle()
    (finding,) = played.found
    assert (finding.task.arn, finding.evidence["ecs.task_id"]) == ("", WEB)


def test_an_excluded_container_gives_no_event_and_no_finding(played):
    """Before it was named it was guarded, and what it did was held; the other containers are told of as ever."""
    selecting = Selecting(Selection(exclude=["container=app"]))
    selecting.begin(type("Held", (), {"containers": played.world.containers}))
    played.world.containers.may_be_named = True
    exe = FileFacts("/tmp/new", 1, 77, 0o100755, 9, BORN_NS + 5, BORN_NS + 5)
    for mnt_ns, pid in ((1, 10), (3, 30)):
        process = played.begin(mnt_ns, pid)
        played.handle(ProcessExecuted(BORN_NS + 40, ProcessId(pid + 1, 1), process, exe=exe, mnt_ns=mnt_ns))
        played.handle(ConnectionOpened(BORN_NS + 41, "1.1.1.1", 4, "1.1.1.2", 5, owner=process, attribution="exact"))
    assert played.told == []
    played.learn()
    played.settle()
    played.seal()
    assert [f.container.name for f in played.found] == ["ledger"]
    assert {e.mnt_ns for events, _ in played.batches for e in events} == {3}
    assert played.engine.left_alone == 3


def test_a_container_that_is_never_named_is_guarded(played):
    """What selection depends on was never told: it is judged when the wait is over."""
    selecting = Selecting(Selection(include=["container=ledger"], exclude=["task-tag:OutriderManaged=false"]))
    selecting.begin(type("Held", (), {"containers": played.world.containers}))
    played.world.containers.may_be_named = True
    played.begin(1, 10)
    exe = FileFacts("/tmp/new", 1, 77, 0o100755, 9, BORN_NS + 5, BORN_NS + 5)
    played.handle(ProcessExecuted(BORN_NS + 40, ProcessId(11, 1), ProcessId(10, 10), exe=exe, mnt_ns=1))
    played.settle()
    assert len(played.found) == 1


def test_what_waits_in_memory_is_introduced_by_itself(tiny_disk):
    """On a full disk events wait in memory and go with the next batch: it can be read by itself as well."""
    played = Played(tiny_disk / "journal")
    played.learn()
    played.begin(1, 10)
    filler = os.open(tiny_disk / "filler", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while os.write(filler, bytes(4096)):
            pass
    os.close(filler)
    for pid in range(20, 90):
        played.run(1, pid)
    played.begin(3, 200)
    played.settle()
    assert played.journal.stats().faults
    played.seal(force=True)
    played.journal.close()
    assert sum(reads_by_itself(events) for events, _ in played.batches) == 72


def test_rules_are_not_asked_about_what_is_our_own(played):
    """A rule without a type of event holds of what programs do, not of what the guard says of itself."""
    played.learn()
    played.begin(1, 10)
    played.handle(FilesWatched(BORN_NS + 50, 1, "fanotify", BORN_NS))
    asked: list[str] = []
    rules = played.engine._rules
    played.engine._rules = type("Asked", (), {"evaluate": lambda _, kind, context: asked.append(kind) or []})()
    played.handle(FilesWatched(BORN_NS + 51, 1, "fanotify", BORN_NS))
    played.run(1, 60)
    played.settle()
    played.engine._rules = rules
    assert asked == ["execve"]
