"""The other end of a scenario's connection: `peer.py {JSON of a Peer} HOST PORT`.

Prints `listening`, then everything it hears; ends when a `until` peer has heard its word and held on, else when the
lab ends it. Runs beside the task, or in it where a scenario is played on loopback.
"""

import json
import socket
import ssl
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

ACCEPT_TIMEOUT_S = 30.0
TALK_TIMEOUT_S = 15.0


def make_certificate() -> bytes:
    """A self-signed certificate and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "peer.lab.invalid")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().issuer_name(name).subject_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    certificate = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, SHA256())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret + certificate.public_bytes(serialization.Encoding.PEM)


def make_context() -> ssl.SSLContext:
    """A server's TLS context with a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(make_certificate())
        file.flush()
        context.load_cert_chain(file.name)
    return context


def talk(connection: socket.socket, peer: dict[str, Any]) -> None:
    """Speak one connection's part, and print what is heard."""
    connection.settimeout(TALK_TIMEOUT_S)
    heard = b""
    time.sleep(0.05)  # a person does not type before the shell is there
    for line in peer["say"]:
        connection.sendall(line.encode() + b"\n")
    while not (peer["until"] and peer["until"].encode() in heard):
        try:
            data = connection.recv(65536)
        except (TimeoutError, ConnectionError):
            break
        if not data:
            break
        heard += data
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        if peer["reply"]:
            connection.sendall(peer["reply"].encode())
            if peer["reply"].startswith("HTTP/"):
                break
    time.sleep(peer["hold_s"])
    if peer["farewell"]:
        connection.sendall(peer["farewell"].encode() + b"\n")
        time.sleep(0.05)  # a terminal that is hung up at once would kill the shell before it reads this
    connection.close()


def serve(peer: dict[str, Any], host: str, port: int) -> None:
    """Accept connections; one is enough for a peer that waits for a word."""
    context = make_context() if peer["tls"] else None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as server:
        server.settimeout(ACCEPT_TIMEOUT_S)
        print("listening", flush=True)
        while True:
            plain, _ = server.accept()
            connection = context.wrap_socket(plain, server_side=True) if context else plain
            if peer["until"]:
                talk(connection, peer)
                return
            threading.Thread(target=talk, args=(connection, peer), daemon=True).start()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
