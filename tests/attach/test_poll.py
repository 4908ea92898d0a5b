"""The poll sense tells of processes by looking."""

import os
import subprocess
import threading
import time

from outrider_sidecar.sensors.poll import PollSensor, probe_poll
from outrider_wire.events import ProcessExecuted, ProcessExited, ProcessStarted


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_starts_programs_and_ends_are_told():
    """A child is told of with its program and parent, an exec that follows at the next sweep, and its end."""
    events, stop = [], threading.Event()

    def covers(pid, _mnt_ns):
        try:
            with open(f"/proc/{pid}/stat") as file:
                return int(file.read().rpartition(")")[2].split()[1]) == os.getpid()
        except FileNotFoundError:
            return False

    sensor = PollSensor(covers, sweep_s=0.05)
    thread = threading.Thread(target=sensor.run, args=(events.append, stop))
    thread.start()
    try:
        child = subprocess.Popen(["/bin/sh", "-c", "read _; exec cat"], stdin=subprocess.PIPE)

        def programs():
            return [each for each in events if isinstance(each, ProcessExecuted) and each.process.pid == child.pid]

        wait_for(lambda: any(each.exe.ino == os.stat("/bin/sh").st_ino for each in programs()))
        child.stdin.write(b"\n")
        child.stdin.flush()
        wait_for(lambda: any(each.argv == ("cat",) for each in programs()))
        child.communicate()
        wait_for(lambda: any(isinstance(each, ProcessExited) and each.process.pid == child.pid for each in events))
    finally:
        stop.set()
        thread.join(10)
    assert programs()[-1].argv == ("cat",)
    assert {each.sensor for each in programs()} == {"poll"}
    [start] = [each for each in events if isinstance(each, ProcessStarted) and each.process.pid == child.pid]
    assert start.parent.pid == os.getpid()
    assert start.seen in ("found", "snapshot")  # whichever look came first


def test_threads_are_not_taken_for_processes():
    """A thread's number is no process."""
    sensor = PollSensor(lambda _pid, _mnt: True)
    seen = []
    ready, end = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (ready.set(), end.wait()))
    thread.start()
    ready.wait()
    sensor._look(thread.native_id, "found", seen.append)
    end.set()
    thread.join()
    assert seen == []


def test_the_probe_reads_the_watermark(tmp_path):
    """Available where loadavg tells it, and said why not where it does not."""
    assert probe_poll().available
    assert "loadavg" in probe_poll(proc=tmp_path).reason
