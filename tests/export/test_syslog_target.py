"""Syslog over UDP, TCP and TLS, and lines in a file."""

import json
import os
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from receivers import running_listener, wait_until

from outrider_collector.export.configuration import Lines, Syslog
from outrider_collector.export.lines import LinesTarget
from outrider_collector.export.syslog_target import SyslogTarget
from outrider_wire.errors import DeliveryError


def frames(data: bytes) -> list[bytes]:
    """Messages by the length before each."""
    found = []
    while data:
        length, _, rest = data.partition(b" ")
        found.append(rest[: int(length)])
        data = rest[int(length) :]
    return found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate of 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
               "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
               "-days", "2", "-keyout", "key.pem", "-out", "cert.pem"]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_udp(stored: Any) -> None:
    """A datagram a message."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        target = SyslogTarget(Syslog(name="x", url=f"udp://127.0.0.1:{listener.getsockname()[1]}", hostname="h"))
        assert len(target.send([stored(), stored()])) == 2
        assert listener.recv(4096).startswith(b"<106>1 2027-01-15T08:01:00.000Z h outrider - finding [outrider@32473 ")
        target.close()


def test_tcp_is_framed_and_opened_again(stored: Any) -> None:
    """Messages by their length; a connection that the other end closed is noticed before anything is written to it."""
    with running_listener() as (port, brought, held):
        target = SyslogTarget(Syslog(name="x", url=f"tcp://127.0.0.1:{port}", format="cef"))
        target.send([stored()] * 3)
        wait_until(lambda: bool(brought) and len(frames(brought[0])) == 3)
        held[0].shutdown(socket.SHUT_RDWR)
        wait_until(lambda: target._socket is not None and bool(target._socket.recv(1, socket.MSG_PEEK) == b""))
        target.send([stored()])
        wait_until(lambda: len(brought) == 2 and len(brought[1]) > 100)
        assert b" CEF:0|Outrider|" in frames(brought[1])[0]
        target.close()


def test_tls_is_verified(stored: Any, certificate: tuple[str, str]) -> None:
    """With the authority it works; without it nothing is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with running_listener(tls=context) as (port, brought, _):
        url = f"tls://127.0.0.1:{port}"
        with pytest.raises(DeliveryError, match="CERTIFICATE_VERIFY_FAILED"):
            SyslogTarget(Syslog(name="x", url=url)).send([stored()])
        target = SyslogTarget(Syslog(name="x", url=url, ca_file=certificate[0], format="json"))
        target.send([stored()])
        wait_until(lambda: any(brought))
        wait_until(lambda: len(frames(brought[-1])) == 1)
        assert json.loads(frames(brought[-1])[0].partition(b"] ")[2])["finding"]["rule"] == "Reverse Shell"
        target.close()


def test_nobody_there(stored: Any) -> None:
    """A receiver that is down is tried again."""
    with pytest.raises(DeliveryError):
        SyslogTarget(Syslog(name="x", url="tcp://127.0.0.1:9")).send([stored()])


def test_lines_are_appended(tmp_path: Path, stored: Any) -> None:
    """To a file that may be moved away, and that only its owner reads."""
    path = tmp_path / "findings.ndjson"
    target = LinesTarget(Lines(name="x", path=str(path), format="guardduty"))
    target.send([stored(), stored()])
    path.rename(tmp_path / "old")
    target.send([stored()])
    lines = (tmp_path / "old").read_text().splitlines() + path.read_text().splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["Execution:Runtime/ReverseShell"] * 3
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_no_half_line(stored: Any) -> None:
    """It is tried again."""
    with pytest.raises(DeliveryError, match="No space left"):
        LinesTarget(Lines(name="x", path="/dev/full")).send([stored()])


def test_standard_output(stored: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """`-` is standard output: what a container's log driver takes."""
    LinesTarget(Lines(name="x")).send([stored()])
    assert json.loads(capfd.readouterr().out)["class_uid"] == 2004
    assert os.path.exists("/dev/full")
