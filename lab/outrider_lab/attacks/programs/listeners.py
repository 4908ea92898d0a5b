"""Listens at each HOST:PORT of its arguments, says `listening`, and holds what comes a moment, answering nothing."""

import selectors
import socket
import sys
import time

HOLD_S = 0.6

selector = selectors.DefaultSelector()
for place in sys.argv[1:]:
    host, port = place.split(":")
    selector.register(socket.create_server((host, int(port))), selectors.EVENT_READ)
print("listening", flush=True)
held: list[tuple[float, socket.socket]] = []
while True:
    for key, _ in selector.select(0.1):
        connection, _ = key.fileobj.accept()  # type: ignore[union-attr]  # they are listeners
        held.append((time.monotonic() + HOLD_S, connection))
    while held and held[0][0] < time.monotonic():
        held.pop(0)[1].close()
