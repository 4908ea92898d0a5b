"""The guarded program of a task of our images: a web service that runs what it is sent. Never outside a lab.

    python3 victim.py [stays]

`POST /` runs the body with /bin/sh and answers at once. It ends on SIGTERM, unless it `stays`: then only SIGKILL does.
Stands alone: its text is handed to the interpreter of another image.
"""

import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    """Obeys."""

    def do_POST(self) -> None:
        """Run the body."""
        order = self.rfile.read(int(self.headers["Content-Length"]))
        subprocess.Popen(["/bin/sh", "-c", order.decode()], stdin=subprocess.DEVNULL)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "stays" in sys.argv else lambda *_: sys.exit(0))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
