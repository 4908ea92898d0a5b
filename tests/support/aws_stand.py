"""A stand-in for AWS on loopback: moto's STS, which checks every signature; and endpoints that give a role's keys."""

import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from outrider_sidecar.aws.sigv4 import Credentials
from outrider_wire.findings import TaskView

ACCOUNT = "123456789012"
REGION = "eu-west-1"
_KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret", "region_name": REGION}


_ids = itertools.count(1)


def new_task(account: str = ACCOUNT, *, cluster: str = "prod", family: str = "web") -> TaskView:
    """A task of its own."""
    arn = f"arn:aws:ecs:{REGION}:{account}:task/{cluster}/{next(_ids):032x}"
    return TaskView(arn=arn, cluster=cluster, family=family)


def task_id(task: TaskView) -> str:
    """The last part of its ARN."""
    return task.arn.rpartition("/")[2]


class Stand:
    """moto as a process. `session` makes a role's session; every other request must be signed by one."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def session(self, account: str, role: str, name: str) -> Credentials:
        """The keys of a session of a role."""
        import boto3

        self._check_signatures(False)
        sts = boto3.client("sts", endpoint_url=self.url, **_KEYS)
        made = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/{role}", RoleSessionName=name)["Credentials"]
        self._check_signatures(True)
        return Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])

    def _check_signatures(self, on: bool) -> None:
        asked = urllib.request.Request(
            self.url + "/moto-api/reset-auth", data=b"0" if on else b"inf", headers={"Content-Type": "text/plain"}
        )
        with urllib.request.urlopen(asked, timeout=10):
            pass


@contextmanager
def standing(port: int = 0) -> Iterator[Stand]:
    """moto's server, while it is needed; at a free port where none is given."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = port or taken.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield Stand(port)
    finally:
        server.kill()
        server.wait()


@contextmanager
def giving(credentials: Credentials) -> Iterator[str]:
    """A credentials endpoint as ECS has it; its address."""
    ends = (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = {
        "AccessKeyId": credentials.access_key,
        "SecretAccessKey": credentials.secret_key,
        "Token": credentials.token,
        "Expiration": ends,
    }
    with answering(lambda path: (200, {}, json.dumps(document).encode())) as url:
        yield url + "/v2/credentials/lab"


@contextmanager
def answering(answer: Any) -> Iterator[str]:
    """An HTTP server that answers `answer(path)`, a status, headers and a body, to all it is asked; its address."""

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                pass  # who asked has had enough

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "moto did not start"
        time.sleep(0.02)
