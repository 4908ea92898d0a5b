"""What an ECS task finds around it: the metadata endpoint and the name server, in a process beside the task.

The facts of the tasks are read from a file at each request: the supervisor replaces it when they change.
"""

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import msgspec

from outrider_lab.metadata import TaskFacts, answer_path
from outrider_lab.names import Addresses, address_of, answer_question
from outrider_lab.network import METADATA_ADDRESS, METADATA_PORT, NAME_SERVER

MAX_QUERY_BYTES: Final = 4096
NAMES_PORT: Final = 53

Answers = Callable[[Sequence[TaskFacts], str], dict[str, Any] | None]
"""The document at a path, or None where there is none."""


def run_aside(serve: Callable[[], None]) -> int:
    """Do it in a process of its own, which our end ends; the answer is its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.set_wakeup_fd(-1)
            serve()
        finally:
            os._exit(1)
    return pid


def write_facts(tasks: Sequence[TaskFacts], at: Path) -> None:
    """Replace the facts that the services tell of, at one stroke."""
    fresh = at.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(tasks))
    fresh.replace(at)


def read_facts(at: Path) -> list[TaskFacts]:
    """The facts as they were written last."""
    return msgspec.json.decode(at.read_bytes(), type=list[TaskFacts])


def make_document_server(facts: Path, address: tuple[str, int], answers: Answers) -> ThreadingHTTPServer:
    """A listening HTTP server of JSON documents about the tasks; the caller runs it."""

    class Endpoint(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            document = answers(read_facts(facts), self.path)
            body = json.dumps(document if document is not None else {"error": "not found"}).encode()
            self.send_response(200 if document is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
            """Say nothing: a request is no news."""

    return ThreadingHTTPServer(address, Endpoint)


def open_names(address: str) -> tuple[socket.socket, socket.socket]:
    """A name server's two sockets, UDP and TCP, in the caller's network namespace. Raises OSError."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.bind((address, NAMES_PORT))
        return udp, socket.create_server((address, NAMES_PORT))
    except OSError:
        udp.close()
        raise


def serve_names(sock: socket.socket, addresses: Addresses = address_of) -> None:
    """Answer questions over UDP for ever."""
    while True:
        query, peer = sock.recvfrom(MAX_QUERY_BYTES)
        try:
            sock.sendto(answer_question(query, addresses), peer)
        except (ValueError, OSError):
            continue  # not a question, or its asker is gone


def serve_names_tcp(server: socket.socket, addresses: Addresses = address_of) -> None:
    """Answer one question per connection over TCP for ever."""
    while True:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(2.0)
            try:
                length = int.from_bytes(connection.recv(2), "big")
                answer = answer_question(connection.recv(min(length, MAX_QUERY_BYTES)), addresses)
                connection.sendall(len(answer).to_bytes(2, "big") + answer)
            except (ValueError, OSError):
                continue  # as above


def start_names(sockets: tuple[socket.socket, socket.socket], addresses: Addresses = address_of) -> None:
    """Answer over both sockets, in threads of the calling process."""
    for target, sock in zip((serve_names, serve_names_tcp), sockets, strict=True):
        threading.Thread(target=target, args=(sock, addresses), daemon=True).start()


def run_services(facts: Path) -> None:
    """Serve what a task finds, until killed: the supervisor's end is ours."""
    start_names(open_names(NAME_SERVER))
    make_document_server(facts, (METADATA_ADDRESS, METADATA_PORT), answer_path).serve_forever()
