"""Start so many programs a second, evenly, for so many seconds; prints how many, and the seconds it took.

A few workers share the rate, so that one that waits for its program does not hold up the next.
"""

import os
import sys
import time

WORKERS = 4


def work(rate: float, count: int) -> None:
    """Start `count` programs at a rate, checking each exit status."""
    began = time.perf_counter()
    for number in range(count):
        early_s = began + number / rate - time.perf_counter()
        if early_s > 0:
            time.sleep(early_s)
        pid = os.posix_spawn("/bin/true", ["true", str(number)], os.environ)
        if os.waitpid(pid, 0)[1]:
            os._exit(1)


rate, seconds = int(sys.argv[1]), float(sys.argv[2])
each = int(rate * seconds) // WORKERS
began = time.perf_counter()
workers = []
for _ in range(WORKERS):
    if (pid := os.fork()) == 0:
        work(rate / WORKERS, each)
        os._exit(0)
    workers.append(pid)
failures = [os.waitpid(pid, 0)[1] for pid in workers]
if any(failures):
    sys.exit("a spawn failed")
print(each * WORKERS, time.perf_counter() - began)
