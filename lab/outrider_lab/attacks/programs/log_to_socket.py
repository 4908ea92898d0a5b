"""A program whose standard output and error are a TCP connection to a log collector: `log_to_socket.py HOST PORT`."""

import os
import socket
import subprocess
import sys
import time

LINES = 4


def main(host: str, port: int) -> None:
    connection = socket.create_connection((host, port))
    os.dup2(connection.fileno(), 1)
    os.dup2(connection.fileno(), 2)
    connection.close()
    for number in range(LINES):
        command = ["/bin/sh", "-c", f"echo log line {number}; sleep 0.1"]
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True)
    time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
