"""The real collector, or, where the file MOOD says so, one that answers everything with a status of its choice.

`moody_collector.py MOOD`: the file holds an HTTP status, or nothing for the real collector. Read at each start.
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with open(sys.argv[1]) as mood:
    status = mood.read().strip()
if not status:
    os.execv(sys.executable, [sys.executable, "-m", "outrider_collector"])


class Refusal(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(int(status))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"no")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


host, _, port = os.environ["OUTRIDER_COLLECTOR_LISTEN"].rpartition(":")
ThreadingHTTPServer((host, int(port)), Refusal).serve_forever()
