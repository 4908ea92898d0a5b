"""Starts programs one after another, as many at a time as its argument says, and checks what each said and its end.

Prints `spawning`, goes on until standard input ends, then prints one JSON object: how many there were, what was
wrong, and the longest that any took from its start to its end, in milliseconds.
"""

import json
import select
import subprocess
import sys
import threading
import time

WORKERS = int(sys.argv[1])
count = [0] * WORKERS
longest_ms = [0.0] * WORKERS
wrong: list[str] = []
ended = threading.Event()


def spawn(number: int) -> None:
    """One program: a shell that starts another, says its number and ends with a status of its own."""
    status = number % 251
    expected = f"{number}\n{number + 1}\n".encode()
    command = ["/bin/sh", "-c", f"/bin/echo {number}; echo {number + 1}; exit {status}"]
    done = subprocess.run(command, capture_output=True, check=False)
    if (done.returncode, done.stdout, done.stderr) != (status, expected, b""):
        wrong.append(f"{number}: {done.returncode} {done.stdout!r} {done.stderr!r}"[:300])


def work(worker: int) -> None:
    number = worker
    while not ended.is_set():
        began = time.monotonic()
        try:
            spawn(number)
        except OSError as error:
            wrong.append(f"{number}: {error}")
        longest_ms[worker] = max(longest_ms[worker], (time.monotonic() - began) * 1e3)
        count[worker] += 1
        number += WORKERS


threads = [threading.Thread(target=work, args=(worker,)) for worker in range(WORKERS)]
for thread in threads:
    thread.start()
print("spawning", flush=True)
select.select([0], [], [])
ended.set()
for thread in threads:
    thread.join()
print(json.dumps({"spawns": sum(count), "wrong": wrong[:20], "longest_ms": round(max(longest_ms), 1)}), flush=True)
