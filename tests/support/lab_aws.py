"""AWS beside a lab task: moto's STS with a session of the task's role, and the endpoint that gives its keys.

As a program: `python lab_aws.py ROLE TASK-ID`. It prints a line when both can be asked.
"""

import json
import os
import sys
import threading
import urllib.request
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aws_stand import Stand, standing

from outrider_lab.metadata import ACCOUNT

STS_PORT = 5055
KEYS_ADDRESS = ("169.254.170.2", 8051)
KEYS_URL = f"http://{KEYS_ADDRESS[0]}:{KEYS_ADDRESS[1]}/v2/credentials/lab"


def serve_keys(stand: Stand, role: str, session: str) -> None:
    """Give the keys of a session to whoever asks."""
    keys = stand.session(ACCOUNT, role, session)
    document = {
        "AccessKeyId": keys.access_key,
        "SecretAccessKey": keys.secret_key,
        "Token": keys.token,
        "Expiration": (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }

    class Endpoint(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
            """Say nothing."""

    server = ThreadingHTTPServer(KEYS_ADDRESS, Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main(role: str, session: str) -> None:
    """Serve until the lab ends."""
    os.environ.pop("HTTP_PROXY", None)
    with standing(port=STS_PORT) as stand:
        serve_keys(stand, role, session)
        with urllib.request.urlopen(KEYS_URL, timeout=10):
            print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
