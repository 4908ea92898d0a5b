"""A real systemd that runs units as on a host, though it is not process 1: a user manager, started as root.

It stays in the machine's PID and network namespaces, so the proc connector answers what it runs; root's user manager
applies capabilities, seccomp filters and mount namespaces as the system's own does. What it lacks here is the cgroup
controllers: limits are read, not enforced. It needs /run/systemd/system and a cgroup v2 tree, which it gets in a mount
namespace of its own.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SYSTEMD = Path("/usr/lib/systemd/systemd")
_BEGIN = """\
set -e
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /run/systemd
mount -t tmpfs none /run/systemd
mkdir /run/systemd/system /run/systemd/inaccessible "/sys/fs/cgroup/$1"
cd /run/systemd/inaccessible
touch reg && mkdir dir && mkfifo fifo && mknod sock c 0 0 && mknod chr c 0 0 && mknod blk b 0 0 && chmod 0 ./*
cd /
echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"
exec "$2" --user --unit=basic.target
"""
_END = """\
mount -t cgroup2 none /sys/fs/cgroup
find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} ';'
"""


def wait_until(done: Callable[[], bool], *, timeout_s: float = 60.0, what: str = "it") -> None:
    """Look every 20 ms; AssertionError when it is not so in time."""
    deadline_s = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline_s, f"{what} did not come within {timeout_s} s"
        time.sleep(0.02)


class ServiceManager:
    """A running manager; its units and everything they write lie in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = Path(tempfile.mkdtemp(prefix="outrider-test-", dir="/var/lib"))
        """What /var/lib is to the system's manager. Not below /tmp: PrivateTmp would hide it."""
        self.runtime = self.state / "run"
        """What /run is: where units tell the manager that they are up."""
        self.runtime.mkdir(mode=0o700)
        self.units = self.state / "systemd" / "user"
        self.units.mkdir(parents=True)
        (self.units / "basic.target").write_text("[Unit]\nDescription=Nothing of this machine is started\n")
        self.environ = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_CONFIG_HOME": str(self.state),  # where StateDirectory= is before systemd 254
            "XDG_STATE_HOME": str(self.state),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """systemctl."""
        return subprocess.run(
            ["systemctl", "--user", "--no-pager", *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=40,
        )

    def install(self, name: str, text: str, *, changes: str = "") -> None:
        """Put a unit there, and a drop-in with what is other in a test."""
        (self.units / name).write_text(text)
        folder = self.units / f"{name}.d"
        folder.mkdir(exist_ok=True)
        (folder / "test.conf").write_text(changes)
        self.ctl("daemon-reload")

    def property(self, name: str, key: str) -> str:
        """What systemd says of a unit."""
        return self.ctl("show", "-p", key, "--value", name).stdout.strip()


@contextmanager
def service_manager(folder: Path) -> Iterator[ServiceManager]:
    """Start it, and at the end stop it with all it runs. Root and systemd are needed."""
    manager = ServiceManager(folder)
    group = f"outrider-test-{os.getpid()}"
    unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    log = (folder / "systemd.log").open("w")
    process = subprocess.Popen(
        [*unshare, _BEGIN, "sh", group, str(SYSTEMD)],
        env=manager.environ,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        socket = manager.runtime / "systemd" / "private"
        wait_until(lambda: socket.exists() or process.poll() is not None, what="systemd's socket")
        wait_until(lambda: manager.ctl("is-active", "basic.target").stdout.strip() == "active", what="systemd")
        yield manager
    finally:
        if process.poll() is None:
            manager.ctl("exit")
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()
        subprocess.run([*unshare, _END, "sh", group], capture_output=True)
        shutil.rmtree(manager.state, ignore_errors=True)


def missing() -> str:
    """Why it cannot run here; empty where it can."""
    if os.geteuid() != 0:
        return "needs root"
    if not SYSTEMD.exists():
        return f"{SYSTEMD} is not there (install systemd)"
    return "" if shutil.which("unshare") else "unshare is not there"
