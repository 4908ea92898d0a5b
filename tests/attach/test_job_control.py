"""An interactive shell on a terminal keeps its job control under guard."""

import os
import pty
import re
import select
import signal
import subprocess
import time

from outrider_sidecar.sensors.attach import TracerOptions, TreeScope

PROMPT = b"ready> "


def state_of(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


class Terminal:
    """An interactive bash on a pty of its own."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        self.shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={"PS1": PROMPT.decode(), "PATH": os.environ["PATH"], "TERM": "dumb"},
            preexec_fn=lambda: (os.setsid(), os.close(os.open(os.ttyname(0), os.O_RDWR))),  # noqa: PLW1509
        )
        os.close(slave)

    def until(self, wanted: bytes) -> str:
        text, deadline = b"", time.monotonic() + 20
        while not re.search(wanted, text):
            assert time.monotonic() < deadline, f"{wanted!r} did not come: {text!r}"
            if select.select([self._master], [], [], 0.1)[0]:
                text += os.read(self._master, 4096)
        return text.decode(errors="replace")

    def until_foreground(self, pid: int) -> None:
        """Wait until a process has the terminal and runs: the shell says `fg` before it gives it away."""
        deadline = time.monotonic() + 20
        while os.tcgetpgrp(self._master) != pid or state_of(pid) == "T":
            assert time.monotonic() < deadline, "the job did not get the terminal"
            time.sleep(0.005)

    def say(self, text: bytes) -> None:
        os.write(self._master, text)

    def close(self) -> None:
        os.close(self._master)
        self.shell.wait(10)


def test_suspend_resume_and_interrupt_work(trace):
    """Ctrl-Z stops the job, bg and fg continue it, Ctrl-C ends it, and the shell says so each time."""
    terminal = Terminal()
    terminal.until(PROMPT)
    tracing = trace(TracerOptions(scope=TreeScope(terminal.shell.pid)))
    terminal.say(b"sleep 61\n")
    terminal.until(rb"sleep 61")
    deadline = time.monotonic() + 20
    while not tracing.executed("sleep"):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    sleeper = tracing.executed("sleep")[0].process.pid
    terminal.until_foreground(sleeper)
    terminal.say(b"\x1a")
    terminal.until(rb"Stopped.*sleep 61")
    terminal.say(b"jobs\n")
    terminal.until(rb"jobs\r\n.*Stopped.*sleep 61")
    terminal.say(b"bg\n")
    terminal.until(rb"sleep 61 &")
    terminal.say(b"jobs\n")
    terminal.until(rb"Running.*sleep 61")
    terminal.say(b"fg\n")
    terminal.until(rb"fg\r\nsleep 61")
    terminal.until_foreground(sleeper)
    terminal.say(b"\x1a")
    terminal.until(rb"Stopped.*sleep 61")
    terminal.say(b"fg\n")
    terminal.until(rb"fg\r\nsleep 61")
    terminal.until_foreground(sleeper)
    terminal.say(b"\x03")
    terminal.until(PROMPT)
    terminal.say(b"echo code $?\n")
    terminal.until(rb"code %d" % (128 + signal.SIGINT))
    assert not os.path.exists(f"/proc/{sleeper}")
    terminal.say(b"exit\n")
    terminal.shell.wait(10)
    terminal.close()
    tracing.end()
