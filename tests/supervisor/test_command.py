"""The command of `watch`: seized before its start, its exit code ours, errors as a shell reports them."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -TERM $$"), 128 + signal.SIGTERM),
        (("no-such-program-here",), 127),
        (("/etc/passwd",), 126),
    ],
)
def test_the_exit_code_is_the_commands(supervise, command, code):
    """Statuses, deadly signals and commands that cannot start give what a shell would give."""
    supervised = supervise(*command)
    supervised.process.communicate(timeout=30)
    assert supervised.process.returncode == code


def test_the_first_exec_is_seen(supervise):
    """The command is held before its exec, so even /bin/true is seen."""
    supervised = supervise("/bin/true")
    supervised.process.communicate(timeout=30)
    [event] = supervised.saw("true")
    assert event["seen"] == "exec"
    assert any(each["event"] == "ProcessExited" for each in supervised.events())


def test_the_command_reads_and_writes_as_without(supervise):
    """Standard input and output are the user's own."""
    supervised = supervise("tr", "a-z", "A-Z")
    output, _ = supervised.process.communicate("hello", timeout=30)
    assert output == "HELLO"


def test_sigterm_is_passed_to_the_command(supervise):
    """Who ends `watch` ends the command."""
    supervised = supervise("sleep", "60")
    supervised.until(lambda: supervised.saw("sleep"), "the command")
    supervised.process.terminate()
    supervised.process.communicate(timeout=30)
    assert supervised.process.returncode == 128 + signal.SIGTERM


def test_every_process_of_ours_is_closed_to_others(supervise):
    """Supervisor, tracer and engine are not dumpable and named alike; the command is as it would be."""
    supervised = supervise("sleep", "60")
    supervised.until(lambda: supervised.saw("sleep"), "the command")
    for name in ("supervisor", "tracer", "engine"):
        [pid] = supervised.pids(name)
        assert Path(f"/proc/{pid}/comm").read_text() == "outrider\n"
        if os.geteuid():
            assert os.stat(f"/proc/{pid}/environ").st_uid == 0
    supervised.process.terminate()
    supervised.process.communicate(timeout=30)


def test_a_stopped_job_stops_as_a_whole_and_goes_on(supervise):
    """SIGTSTP to the command stops the supervisor too, so that the shell gets its prompt; SIGCONT resumes both."""
    supervised = supervise("sleep", "60")
    supervised.until(lambda: supervised.saw("sleep"), "the command")
    command = supervised.saw("sleep")[0]["process"][0]
    os.kill(command, signal.SIGTSTP)
    pid, status = os.waitpid(supervised.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    time.sleep(0.4)  # longer than a stopped supervisor that does not rest is let live
    assert subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.startswith("T")
    os.kill(pid, signal.SIGCONT)
    os.kill(command, signal.SIGCONT)
    os.kill(command, signal.SIGKILL)
    supervised.process.communicate(timeout=30)
    assert supervised.process.returncode == 128 + signal.SIGKILL
