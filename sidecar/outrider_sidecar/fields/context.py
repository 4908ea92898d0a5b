"""What a field is asked about: one event, in the world as it was just after it."""

from typing import TYPE_CHECKING

from outrider_sidecar.decode.accounts import Accounts
from outrider_sidecar.decode.status import Status
from outrider_sidecar.world.containers import Container
from outrider_sidecar.world.drift import Drift
from outrider_sidecar.world.tree import Process
from outrider_wire.events import Event
from outrider_wire.findings import TaskView

if TYPE_CHECKING:
    from outrider_sidecar.world.world import World


class Context:
    """One event with its acting process and container; judgements that several fields need are made once."""

    __slots__ = ("_ancestors", "_exe_drift", "_script_drift", "_status", "container", "event", "process", "world")

    def __init__(self, event: Event, world: "World") -> None:
        self.event = event
        self.world = world
        self.process: Process | None = world.actor_of(event)
        self.container: Container | None = world.container_of(event, self.process)
        self._ancestors: list[Process] | None = None
        self._exe_drift: Drift | None = None
        self._script_drift: Drift | None = None
        self._status: tuple[Status | None] | None = None

    @property
    def ancestors(self) -> list[Process]:
        """The process's ancestors, nearest first."""
        if self._ancestors is None:
            self._ancestors = list(self.world.tree.ancestors(self.process)) if self.process is not None else []
        return self._ancestors

    @property
    def task(self) -> TaskView | None:
        """Whose the event is: its container's, its network's, or the one task that is guarded."""
        return self.world.task_of(self.event, self.container)

    @property
    def exe_drift(self) -> Drift | None:
        """The judgement of the file that the process runs."""
        if self._exe_drift is None and self.process is not None:
            self._exe_drift = self.world.judge_exe(self.process)
        return self._exe_drift

    @property
    def script_drift(self) -> Drift | None:
        """The judgement of the script (or program under ld.so) that the process was asked to run."""
        if self._script_drift is None and self.process is not None and self.process.script is not None:
            self._script_drift = self.world.judge(self.process.script, self.process.mnt_ns)
        return self._script_drift

    @property
    def status(self) -> Status | None:
        """The process's capabilities and ids, read now; None where it is gone."""
        if self._status is None:
            process = self.process
            self._status = (self.world.late.status(process.id) if process is not None and process.alive else None,)
        return self._status[0]

    @property
    def accounts(self) -> Accounts | None:
        """The users and groups that the process's container knows; None where it cannot be read."""
        mnt_ns = self.process.mnt_ns if self.process is not None else 0
        return self.world.late.accounts(mnt_ns) if mnt_ns else None
