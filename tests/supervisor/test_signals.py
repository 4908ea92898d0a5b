"""Waiting for signals: what comes is told of, and a wait that was cut short is no signal."""

import os
import signal
import subprocess
import sys
import time

from outrider_sidecar.linux.signals import SignalWait

WAIT = """
import signal, sys
from outrider_sidecar.linux.signals import SignalWait
signals = {signal.SIGTERM, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
wait = SignalWait(signals)
print(wait.wait(0.0), flush=True)
while (number := wait.wait(0.05)) != signal.SIGTERM:
    if number is not None:
        print(number.name, flush=True)
"""


def test_only_a_signal_that_came_is_told_of() -> None:
    """A process that is stopped past the end of its wait, and continued, has got none; one that was sent, it has."""
    process = subprocess.Popen([sys.executable, "-c", WAIT], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "None\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "SIGUSR1\n"
        for _ in range(20):
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            time.sleep(0.06)  # past the end of its wait
            process.send_signal(signal.SIGCONT)
            os.waitid(os.P_PID, process.pid, os.WCONTINUED)
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "SIGUSR1\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "" and process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_no_wait_is_no_wait() -> None:
    """Nothing that is blocked waits: nothing is told of, at once."""
    assert SignalWait((signal.SIGUSR2,)).wait(0.0) is None
