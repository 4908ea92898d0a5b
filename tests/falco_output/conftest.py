"""A receiver of Falco's alerts that is as strict as falcosidekick, and findings to send it."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from outrider_wire.findings import Ancestor, ContainerView, Finding, ProcessView, TaskView

PRIORITIES = {"Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug"}
TYPES = {
    **dict.fromkeys(("uuid", "output", "priority", "rule", "time", "source", "hostname", "message"), str),
    "tags": list,
    "output_fields": dict,
}


def objection(alert: dict[str, Any]) -> str:
    """Why a strict receiver will not have an alert; empty when it will."""
    for key in ("priority", "rule", "time", "output_fields"):
        if not alert.get(key):
            return f"{key} is missing or empty"
    if alert["priority"] not in PRIORITIES:
        return f"no such priority: {alert['priority']}"
    if not alert["time"].endswith("Z"):
        return "time is not in UTC"
    for key, value in alert.items():
        if key not in TYPES or not isinstance(value, TYPES[key]):
            return f"{key} is unknown or of the wrong type"
    if not all(isinstance(value, str | int | float | bool | None) for value in alert["output_fields"].values()):
        return "a field is neither text, number nor flag"
    return ""


class Receiver:
    """Takes POST / of one JSON object. `answers` are statuses to give first; then 200 or, for a bad alert, 400."""

    def __init__(self, *, context: ssl.SSLContext | None = None) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.objections: list[str] = []
        self.answers: list[int] = []
        self.asked = 0
        self.arrived = threading.Condition()
        self.held = threading.Event()
        self.held.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait until something holds after an arrival."""
        with self.arrived:
            assert self.arrived.wait_for(holds, timeout_s), (self.asked, len(self.alerts), self.objections)

    def take(self, path: str, raw: bytes) -> int:
        self.held.wait(10.0)
        with self.arrived:
            self.asked += 1
            status = self.answers.pop(0) if self.answers else 0
            if not status:
                alert = json.loads(raw)
                wrong = objection(alert) or ("" if path == "/" else f"no such path: {path}")
                status = 400 if wrong else 200
                if wrong:
                    self.objections.append(wrong)
                else:
                    self.alerts.append(alert)
            self.arrived.notify_all()
        return status

    def close(self) -> None:
        self.held.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/json"
                self.send_response(receiver.take(self.path, raw))
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on loopback."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def make_receiver() -> Iterator[Callable[..., Receiver]]:
    """Make receivers that are closed in the end."""
    made: list[Receiver] = []

    def make(**options: Any) -> Receiver:
        made.append(Receiver(**options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that signs itself, as a file to trust, and a server's context with it."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receiver")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    ca_file, chain = tmp_path / "ca.pem", tmp_path / "chain.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    ca_file.write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return ca_file, context


@pytest.fixture
def finding() -> Finding:
    """A finding of a rule, with everything in it."""
    return Finding(
        id="0123456789abcdef0123456789abcdef",
        type="Execution:Runtime/ReverseShell",
        rule="Reverse Shell",
        severity="HIGH",
        title="A shell talks to the outside",
        at="2026-01-02T03:04:05.000000006Z",
        process=ProcessView(
            pid=7,
            start_ticks=70,
            name="sh",
            exe="/bin/sh",
            cmdline="sh -i \x1b[2J é",
            cwd="/",
            uid=0,
            ancestry=[Ancestor(pid=1, name="nginx", exe="/usr/sbin/nginx", cmdline="nginx")],
        ),
        container=ContainerView(id="abc-1", name="web", image="example/web:1"),
        evidence={"proc.name": "sh", "proc.aname": ["nginx"], "fd.sport": 443, "proc.tty": None, "b": True},
        attribution="exact",
        description="a shell (command=sh -i)",
        priority="INFO",
        tags=["mitre_execution", "T1059.004"],
        task=TaskView(arn="arn:aws:ecs:eu-west-1:1:task/c/t"),
        agent="a" * 32,
    )
