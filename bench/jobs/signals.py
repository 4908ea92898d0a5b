"""Send itself signals, run a 1 kHz timer, or make threads; prints the seconds a unit took."""

import os
import signal
import sys
import threading
import time

kind, count = sys.argv[1], int(sys.argv[2])
print(os.getpid(), flush=True)
sys.stdin.readline()


def work(units: int) -> float:
    began = time.perf_counter()
    for _ in range(units):
        sum(range(100))
    return time.perf_counter() - began


for number in (signal.SIGUSR1, signal.SIGALRM):
    signal.signal(number, lambda *_: None)
began = time.perf_counter()
if kind == "signal":
    pid = os.getpid()
    for _ in range(count):
        os.kill(pid, signal.SIGUSR1)
elif kind == "timer":
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    work(count)
    signal.setitimer(signal.ITIMER_REAL, 0)
else:
    for _ in range(count):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
print((time.perf_counter() - began) / count)
