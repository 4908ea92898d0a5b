"""A bench for rules: events in, findings out, through the real world, fields, pack and engine, without a kernel."""

from collections.abc import Sequence

from outrider_sidecar.intel import Intel
from outrider_sidecar.rehearsal.stage import Stage
from outrider_sidecar.rehearsal.steps import BORN_NS
from outrider_sidecar.rulebook import load_rulebook
from outrider_sidecar.settings import ExpectedDrift
from outrider_wire.events import Event, FileFacts, ProcessExecuted, ProcessId

NS = 7
MILLISECOND = 1_000_000


class Transcript(Stage):
    """One container's story under the built-in pack. Times are milliseconds since its creation."""

    def __init__(self, *, expected_drift: Sequence[ExpectedDrift] = (), watched: Sequence[str] = ()) -> None:
        intel = Intel({"pool.example": "mining", "own.example": "own-business"})
        super().__init__(
            load_rulebook(), baseline_ns=BORN_NS, intel=intel, expected_drift=expected_drift, watched=watched
        )

    def tell(self, *events: Event) -> list[tuple[str, str]]:
        """Hand in events, let a second pass, and give what was found: (type, severity)."""
        for event in events:
            self.handle(event)
        self.settle()
        return [(finding.type, finding.severity) for finding in self.found]


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
