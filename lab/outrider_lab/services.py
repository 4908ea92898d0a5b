"""What an ECS task finds around it: the metadata endpoint and the name server, in a process beside the task.

The facts of the task are read from a file at each request: the supervisor replaces it when they change.
"""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import msgspec

from outrider_lab.metadata import TaskFacts, answer_path
from outrider_lab.names import answer_question
from outrider_lab.network import METADATA_ADDRESS, METADATA_PORT, NAME_SERVER

MAX_QUERY_BYTES: Final = 4096


def write_facts(facts: TaskFacts, at: Path) -> None:
    """Replace the facts that the endpoint tells of, at one stroke."""
    fresh = at.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(facts))
    fresh.replace(at)


def read_facts(at: Path) -> TaskFacts:
    """The facts as they were written last."""
    return msgspec.json.decode(at.read_bytes(), type=TaskFacts)


def make_metadata_server(facts: Path, address: tuple[str, int]) -> ThreadingHTTPServer:
    """A listening HTTP server of the endpoint; the caller runs it."""

    class Endpoint(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            document = answer_path(read_facts(facts), self.path)
            body = json.dumps(document if document is not None else {"error": "not found"}).encode()
            self.send_response(200 if document is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
            """Say nothing: a request is no news."""

    return ThreadingHTTPServer(address, Endpoint)


def serve_names(sock: socket.socket) -> None:
    """Answer questions over UDP for ever."""
    while True:
        query, peer = sock.recvfrom(MAX_QUERY_BYTES)
        try:
            sock.sendto(answer_question(query), peer)
        except (ValueError, OSError):
            continue  # not a question, or its asker is gone


def serve_names_tcp(server: socket.socket) -> None:
    """Answer one question per connection over TCP for ever."""
    while True:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(2.0)
            try:
                length = int.from_bytes(connection.recv(2), "big")
                answer = answer_question(connection.recv(min(length, MAX_QUERY_BYTES)))
                connection.sendall(len(answer).to_bytes(2, "big") + answer)
            except (ValueError, OSError):
                continue  # as above


def run_services(facts: Path) -> None:
    """Serve until killed: the supervisor's end is ours."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((NAME_SERVER, 53))
    tcp = socket.create_server((NAME_SERVER, 53))
    for target, argument in ((serve_names, udp), (serve_names_tcp, tcp)):
        threading.Thread(target=target, args=(argument,), daemon=True).start()
    make_metadata_server(facts, (METADATA_ADDRESS, METADATA_PORT)).serve_forever()
