"""A world to ask fields about, and ways to ask."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from transcripts import NS, Transcript, ran

from outrider_sidecar.decode.accounts import Accounts, User
from outrider_sidecar.decode.mountinfo import Mount
from outrider_sidecar.decode.status import Status
from outrider_sidecar.fields.catalogue import CATALOGUE
from outrider_sidecar.fields.context import Context
from outrider_sidecar.world.kinds import event_type
from outrider_sidecar.world.world import World
from outrider_wire.events import Event, FileFacts, ProcessId

Ask = Callable[..., Any]


class Known:
    """Late facts laid out by a test."""

    def __init__(self) -> None:
        self.statuses: dict[ProcessId, Status] = {}
        self.login_uids: dict[ProcessId, int] = {}
        self.names = Accounts(users={0: User("root", "/root", "/bin/sh"), 33: User("www-data", "/var/www", "/bin/no")})
        self.bound: int | None = None
        self.links: dict[str, str] = {}
        self.others: dict[int, str] = {}
        self.mounted: tuple[Mount, ...] = ()

    def status(self, process: ProcessId) -> Status | None:
        return self.statuses.get(process)

    def login_uid(self, process: ProcessId) -> int | None:
        return self.login_uids.get(process)

    def owner_of_exe(self, process: ProcessId) -> tuple[int, int] | None:
        return (33, 33)

    def accounts(self, mnt_ns: int) -> Accounts | None:
        return self.names if mnt_ns == NS else None

    def bounding(self, mnt_ns: int) -> int | None:
        return self.bound

    def mounts(self, mnt_ns: int) -> tuple[Mount, ...] | None:
        return self.mounted

    def link_target(self, mnt_ns: int, path: str) -> str | None:
        return self.links.get(path)

    def other_name(self, mnt_ns: int, file: FileFacts, directories: Iterable[str]) -> str | None:
        return self.others.get(file.ino)


@pytest.fixture
def known() -> Known:
    """What can be read late in the world of the test."""
    return Known()


@pytest.fixture
def world(known: Known) -> World:
    """A container whose first process is a web server, with a shell of it."""
    world = Transcript().world
    world.late = known
    world.apply(ran(1, "/usr/sbin/nginx", "nginx", "-g", "daemon off;", parent=None, when=1, uid=0, gid=0))
    return world


def ask(world: World, event: Event, name: str, index: str | None = None) -> Any:
    """The value of a field for an event that the world takes in; None where the event is of no type that has it."""
    (first, *_) = world.apply(event)
    return value_of(Context(first, world), name, index)


def value_of(context: Context, name: str, index: str | None = None) -> Any:
    """The value of a field, as a rule would get it."""
    field = CATALOGUE.find(name, index)
    assert field is not None, name
    if field.events is not None and event_type(context.event) not in field.events:
        return None
    return field.get(context) if index is None else field.get(context, index)


@pytest.fixture
def field(world: World) -> Ask:
    """`field(event, name, index)` in the world of the test."""
    return lambda event, name, index=None: ask(world, event, name, index)
