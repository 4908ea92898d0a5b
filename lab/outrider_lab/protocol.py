"""How the asking program talks to its supervisor: JSON records over a socket pair, descriptors riding along.

Strictly one answer for one request, in order. The end of a process is not a message: whoever starts one passes a
pipe along, and its exit code is written there in digits. So nothing on this socket ever needs to be waited for
out of turn, and the end of the supervisor shows as end-of-file everywhere at once.
"""

import array
import socket
from typing import Final

import msgspec
from msgspec import Struct

from outrider_lab.host.settings import HostSettings, HostTaskSettings
from outrider_lab.settings import TaskSettings

MAX_MESSAGE: Final = 128 << 10
MAX_DESCRIPTORS: Final = 8


class Start(Struct, frozen=True, tag=True):
    """Build the task. Descriptors: stdin, stdout, stderr of the main container's program, and its exit pipe."""

    settings: TaskSettings


class StartHost(Struct, frozen=True, tag=True):
    """Build a container instance, without tasks yet."""

    settings: HostSettings


class StartTask(Struct, frozen=True, tag=True):
    """Start one more task on the container instance. Descriptors as for Start."""

    settings: HostTaskSettings


class StopTask(Struct, frozen=True, tag=True):
    """Stop a task as ECS does: SIGTERM, `timeout_s`, SIGKILL. Nothing is left of it."""

    task: str
    timeout_s: float


class Exec(Struct, frozen=True, tag=True):
    """Start a program in a container, as ECS Exec does. Descriptors: stdin, stdout, stderr, exit pipe."""

    container: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    added_capabilities: tuple[str, ...] = ()
    task: str = ""


class RunBeside(Struct, frozen=True, tag=True):
    """Start a program beside a task, in no container: in the lab's network, or the machine's where the task is.

    Descriptors as for Exec.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    task: str = ""


class Signal(Struct, frozen=True, tag=True):
    """Send a signal to the program of a container (its first process), or to `collector`."""

    target: str
    number: int
    task: str = ""


class Control(Struct, frozen=True, tag=True):
    """Start or stop a part: the guard (`sidecar`), the `collector`, a host's `agent`; `app`, `restart`."""

    target: str
    action: str
    task: str = ""


class AwaitReady(Struct, frozen=True, tag=True):
    """Wait until the guard says that it sees."""

    timeout_s: float


class Stop(Struct, frozen=True, tag=True):
    """Stop tasks and guard as ECS stops a task: SIGTERM, the stop timeout, SIGKILL. The collector goes on."""


Request = Start | StartHost | StartTask | StopTask | Exec | RunBeside | Signal | Control | AwaitReady | Stop


class Answer(Struct, frozen=True):
    """What came of a request. `error` is empty when it was done; `unavailable` marks an environment's refusal.

    `pid` is of the supervisor's PID namespace. `facts` are named texts; `timings_s` named seconds since start.
    """

    error: str = ""
    unavailable: bool = False
    remedy: str = ""
    pid: int = 0
    yes: bool = False
    facts: dict[str, str] = {}
    timings_s: dict[str, float] = {}


_requests = msgspec.json.Decoder(Request)
_answers = msgspec.json.Decoder(Answer)


def send(sock: socket.socket, message: Request | Answer, fds: tuple[int, ...] = ()) -> None:
    """Send one message. Raises OSError (BrokenPipeError when the other end is gone)."""
    data = msgspec.json.encode(message)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([data], rights)


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    data, fds, _, _ = socket.recv_fds(sock, MAX_MESSAGE, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    if not data:
        raise EOFError("the other end is gone")
    return data, fds


def receive_request(sock: socket.socket) -> tuple[Request, list[int]]:
    """The next request and its descriptors. Raises EOFError when the program that asks is gone."""
    data, fds = _receive(sock)
    return _requests.decode(data), fds


def receive_answer(sock: socket.socket) -> Answer:
    """The next answer. Raises EOFError when the supervisor is gone."""
    try:
        data, _ = _receive(sock)
    except ConnectionResetError as error:
        raise EOFError("the supervisor is gone") from error
    return _answers.decode(data)
