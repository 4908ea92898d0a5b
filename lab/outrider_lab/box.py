"""The least that a gate or a file watch takes for a container: a mount namespace, and this root under an overlay.

No runtime, no cgroup, no other namespace: for tests and benches of one sense, where a task of `runc` would take
seconds. Everything is mounted inside the namespace, so nothing is left when its first process ends.
"""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from outrider_wire.errors import Unavailable

_MAKE_ROOT: Final = """
set -e
mount -t tmpfs box "$1"; cd "$1"; mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
mkdir root/box root/volume root/old
mount --bind "$2" root/volume
mount --rbind /proc root/proc; mount --rbind /dev root/dev
cd root; pivot_root . old; umount -l old
echo ready
exec cat
"""


class Box:
    """`/box` is empty and of the container's own, `/volume` is `volume`, a folder of the machine's. Needs root.

    `pid` is its first process, and it ends with it. Raises Unavailable where no such thing can be made.
    """

    def __init__(self, folder: Path) -> None:
        root, self.volume = folder / "root", folder / "volume"
        root.mkdir()
        self.volume.mkdir()
        make = ["unshare", "-m", "--propagation", "private", "sh", "-c", _MAKE_ROOT, "sh", str(root), str(self.volume)]
        try:
            self._first = subprocess.Popen(make, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        except FileNotFoundError as error:
            raise Unavailable("no unshare program", "install util-linux") from error
        assert self._first.stdout is not None
        if self._first.stdout.readline() != "ready\n":
            self.close()
            raise Unavailable("no overlay could be mounted in a mount namespace of its own", "run as root")
        self.baseline_ns = time.time_ns()
        self.pid = self._first.pid
        self.mnt_ns = os.stat(f"/proc/{self.pid}/ns/mnt").st_ino

    def command(self, words: Sequence[str]) -> list[str]:
        """These words as a command that runs inside."""
        return ["nsenter", "--mount", "--target", str(self.pid), "--", *words]

    def close(self) -> None:
        """End it."""
        self._first.kill()
        self._first.communicate()
