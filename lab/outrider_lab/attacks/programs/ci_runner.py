"""A build agent: asks its server for a job over a connection it holds, and feeds a script to bash by a pipe."""

import socket
import subprocess
import sys


def main(host: str, port: int) -> None:
    server = socket.create_connection((host, port))
    server.sendall(b"give me work\n")
    server.recv(64)
    script = b"set -e\nfor step in build test pack; do echo running $step; sleep 0.2; done\n"
    done = subprocess.run(["bash", "-e"], input=script, capture_output=True, check=False)
    server.sendall(done.stdout)
    print("job done", done.returncode)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
