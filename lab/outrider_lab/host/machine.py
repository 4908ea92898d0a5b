"""What of a container instance is in the machine's own network namespace: on loopback alone, on ports that were free.

The host process is in that namespace, and so are tasks in `host` network mode. The agent's API, the collector and a
name server for those tasks listen there. The name server answers with loopback addresses: whoever connects to an
answer is refused at once, and nothing leaves the machine.
"""

import errno
import signal
import socket
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from outrider_lab.ground import Ground
from outrider_lab.host.introspection import answer_agent
from outrider_lab.metadata import TaskFacts, answer_path
from outrider_lab.names import loopback_address_of
from outrider_lab.namespaces import CLONE_NEWNET, bind_mount, entered
from outrider_lab.runc import kill
from outrider_lab.services import make_document_server, open_names, run_aside, start_names
from outrider_wire.errors import Unavailable

LOOPBACK: Final = "127.0.0.1"
NAMES_TRIES: Final = 50


class Machine:
    """The lab's part in the machine's network; `network` is a descriptor of that namespace."""

    def __init__(self, ground: Ground, cluster: str, network: int, random: Random) -> None:
        self.network = ground.base / "machine-network"
        self.network.touch()
        bind_mount(f"/proc/self/fd/{network}", str(self.network))
        self._ground = ground
        self._cluster = cluster
        self._agent = 0
        with entered(str(self.network), CLONE_NEWNET):
            self.collector = (LOOPBACK, free_port())
            self._agent_address = (LOOPBACK, free_port())
            self.names_address, self._names = _find_names_address(random)

    @property
    def agent_uri(self) -> str:
        """Base address of the agent's introspection API."""
        host, port = self._agent_address
        return f"http://{host}:{port}"

    def start_names(self) -> None:
        """Answer names for tasks in `host` network mode."""

        def serve() -> None:
            start_names(self._names, loopback_address_of)
            signal.pause()

        run_aside(serve)
        for sock in self._names:
            sock.close()

    def start_agent(self) -> None:
        """Serve the agent's API, unless it is served; the metadata endpoint of `host` network tasks too."""
        if self._agent:
            return

        def answers(tasks: Sequence[TaskFacts], path: str) -> dict[str, Any] | None:
            return answer_agent(self._cluster, tasks, path) or answer_path(tasks, path)

        with entered(str(self.network), CLONE_NEWNET):
            server = make_document_server(self._ground.facts, self._agent_address, answers)
        pid = self._agent = run_aside(server.serve_forever)
        server.server_close()
        self._ground.children.watch(pid, lambda _: self._agent_ended(pid))

    def stop_agent(self) -> None:
        """Let the agent be down: connections to it are refused."""
        if self._agent:
            pid, self._agent = self._agent, 0
            self._ground.children.unwatch(pid)
            kill(pid, signal.SIGKILL)
            self._ground.children.wait(pid, timeout_s=5.0)

    def _agent_ended(self, pid: int) -> None:
        if self._agent == pid:
            self._agent = 0


def free_port() -> int:
    """A TCP port of loopback that nobody has at this moment, in the caller's network namespace."""
    with socket.create_server((LOOPBACK, 0)) as sock:
        return int(sock.getsockname()[1])


def _find_names_address(random: Random) -> tuple[str, tuple[socket.socket, socket.socket]]:
    """A loopback address whose port 53 nobody has, and the sockets there. Raises Unavailable."""
    for _ in range(NAMES_TRIES):
        address = f"127.{random.randrange(70, 250)}.{random.randrange(256)}.{random.randrange(1, 255)}"
        try:
            return address, open_names(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise Unavailable("no loopback address has its port 53 free", "stop what listens on 0.0.0.0:53")
