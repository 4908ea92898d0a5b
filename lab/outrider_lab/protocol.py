"""How a `Task` talks to its supervisor: one JSON record a message over a socket pair, descriptors riding along.

Strictly one answer for one request, in order. The end of a process is not a message: whoever starts one passes a
pipe along, and its exit code is written there in digits. So nothing on this socket ever needs to be waited for
out of turn, and the end of the supervisor shows as end-of-file everywhere at once.
"""

import array
import socket
from typing import Final

import msgspec
from msgspec import Struct

from outrider_lab.settings import TaskSettings

MAX_MESSAGE: Final = 128 << 10
MAX_DESCRIPTORS: Final = 8


class Start(Struct, frozen=True, tag=True):
    """Build the task. Descriptors: stdin, stdout, stderr of the main container's program, and its exit pipe."""

    settings: TaskSettings
    owner: str


class Exec(Struct, frozen=True, tag=True):
    """Start a program in a container, as ECS Exec does. Descriptors: stdin, stdout, stderr, exit pipe."""

    container: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    added_capabilities: tuple[str, ...] = ()


class RunBeside(Struct, frozen=True, tag=True):
    """Start a program beside the task: in the lab's network, in no container. Descriptors as for Exec."""

    argv: tuple[str, ...]
    env: dict[str, str] = {}


class Signal(Struct, frozen=True, tag=True):
    """Send a signal to the program of a container (its first process), or to `collector`."""

    target: str
    number: int


class Control(Struct, frozen=True, tag=True):
    """Start or stop a part while the task runs. `start` and `stop` are known for the sidecar and the collector."""

    target: str
    action: str


class AwaitReady(Struct, frozen=True, tag=True):
    """Wait until the sidecar says that it is ready."""

    timeout_s: float


class Stop(Struct, frozen=True, tag=True):
    """Stop the sidecar as ECS stops a task: SIGTERM, the stop timeout, SIGKILL. The collector goes on."""


Request = Start | Exec | RunBeside | Signal | Control | AwaitReady | Stop


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
