"""A bench for rules: events in, findings out, through the real world, fields, pack and engine, without a kernel."""

from collections.abc import Iterable, Sequence

from outrider_sidecar.engine import Engine
from outrider_sidecar.intel import Intel
from outrider_sidecar.rulebook import load_rulebook
from outrider_sidecar.settings import ExpectedDrift
from outrider_sidecar.world.containers import Containers
from outrider_sidecar.world.drift import DriftRecord
from outrider_sidecar.world.lineage import Held
from outrider_sidecar.world.shells import Shells
from outrider_sidecar.world.ties import TieTracker
from outrider_sidecar.world.tree import Process, ProcessTree
from outrider_sidecar.world.world import World
from outrider_wire.events import (
    Descriptor,
    Event,
    FileFacts,
    ProcessExecuted,
    ProcessId,
    SocketFacts,
)
from outrider_wire.findings import Finding

BORN_NS = 1_000_000_000_000
"""When the container of every transcript was created."""
NS = 7
MILLISECOND = 1_000_000


class Transcript:
    """One container's story. Times are milliseconds since its creation."""

    def __init__(self, *, expected_drift: Sequence[ExpectedDrift] = (), watched: Sequence[str] = ()) -> None:
        self.found: list[Finding] = []
        self.seconds = 0.0
        self.held: dict[int, tuple[Descriptor, ...]] = {}
        self.sockets: dict[int, SocketFacts] = {}
        tree = ProcessTree()
        shells = Shells(lambda process: "", lambda mnt_ns: frozenset())
        containers = Containers(
            lambda mnt_ns, started_ns: DriftRecord(BORN_NS, lambda folder: BORN_NS if folder in watched else None)
        )
        self.world = World(
            tree=tree,
            containers=containers,
            shells=shells,
            ties=TieTracker(tree, shells, self._look, clock=lambda: self.seconds),
            intel=Intel({"pool.example": "mining", "c2.example": "c2"}),
            started_at=lambda process: BORN_NS,
            ordered_libraries=lambda event: [],
            exit_libraries=lambda event, mnt_ns: [],
            on_program=lambda container, process: None,
        )
        self.engine = Engine(
            world=self.world,
            rules=load_rulebook(),
            sink=self,
            agent="test",
            expected_drift=expected_drift,
            clock=lambda: self.seconds,
        )

    def event(self, event: Event) -> None:
        del event

    def finding(self, finding: Finding) -> None:
        self.found.append(finding)

    def tell(self, *events: Event) -> list[tuple[str, str]]:
        """Hand in events, let a second pass, and give what was found: (type, severity)."""
        for event in events:
            self.engine.handle(event)
        for _ in range(100):
            self.seconds += 0.01
            self.engine.tick(BORN_NS + int(self.seconds * 1e9))
        self.engine.flush()
        return [(finding.type, finding.severity) for finding in self.found]

    def _look(self, processes: Iterable[Process]) -> tuple[list[Held], dict[int, SocketFacts]]:
        return [
            Held(p.id, self.held[p.id.pid], p.mnt_ns, p.parent) for p in processes if p.id.pid in self.held
        ], self.sockets


def at(milliseconds: float) -> int:
    return BORN_NS + int(milliseconds * MILLISECOND)


def pid(number: int) -> ProcessId:
    return ProcessId(number, number)


def file(
    path: str, *, changed: float = -1000, modified: float | None = None, nlink: int = 1, ino: int = 50
) -> FileFacts:
    """A file that changed (ctime) and was modified (mtime) so many milliseconds after the container's creation."""
    modified = changed if modified is None else modified
    return FileFacts(
        path=path, dev=1, ino=ino, mode=0o100755, size=9, mtime_ns=at(modified), ctime_ns=at(changed), nlink=nlink
    )


def ran(
    number: int,
    program: FileFacts | str,
    *argv: str,
    parent: int | None = 1,
    when: float = 100,
    script: FileFacts | None = None,
    **facts: object,
) -> ProcessExecuted:
    """A process executed a program; a bare path is an old file of the image."""
    exe = file(program, ino=900 + number) if isinstance(program, str) else program
    return ProcessExecuted(
        at_ns=at(when),
        process=pid(number),
        parent=pid(parent) if parent is not None else None,
        comm=exe.path.rpartition("/")[2][:15],
        exe=exe,
        argv=argv or (exe.path,),
        script=script,
        mnt_ns=NS,
        **facts,  # type: ignore[arg-type]
    )
