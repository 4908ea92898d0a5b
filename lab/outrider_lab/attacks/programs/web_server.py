"""A web server as many are: a database connection held open, and shell scripts run for requests, fed their bodies.

`web_server.py DATABASE_HOST DATABASE_PORT` serves five requests of its own client and ends.
"""

import http.client
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

REQUESTS = 5


def main(database_host: str, database_port: int) -> None:
    database = socket.create_connection((database_host, database_port))

    class Site(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            database.sendall(b"select\n")
            database.recv(64)
            shell = ["/bin/sh", "-c", "sleep 0.1; tr a-z A-Z"]
            done = subprocess.run(shell, input=body, capture_output=True, check=True)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(done.stdout)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served = 0
    for _ in range(REQUESTS):
        client = http.client.HTTPConnection("127.0.0.1", server.server_port)
        client.request("POST", "/cgi-bin/upper", body=b"hello")
        served += client.getresponse().read() == b"HELLO"
    print("served", served)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
