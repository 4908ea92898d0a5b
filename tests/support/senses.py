"""Use each kernel interface of the host mode on one container, and print what came: `python senses.py PID`.

It makes the events itself, through /proc/PID/root. One JSON object: each sense with "" or with what went wrong.
"""

import json
import os
import select
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from outrider_sidecar.linux import fanotify, ptrace
from outrider_sidecar.linux.handles import open_handle
from outrider_sidecar.linux.libc import check
from outrider_sidecar.linux.netns import entered
from outrider_sidecar.sensors.host.mounts import parse_mountinfo, with_files
from outrider_sidecar.sensors.host.probe import probe_connector
from outrider_sidecar.sensors.host.uppers import find_layers, opened_at
from outrider_sidecar.sensors.packets import probe_packet
from outrider_wire.errors import ProcessGone, Unavailable

NETLINK_CONNECTOR = 11
SO_RCVBUFFORCE = 33
NAME = f"outrider-senses-{os.getpid()}"


def see_processes(_: int) -> str:
    """The proc connector tells of an own child."""
    found = probe_connector()
    return "" if found.available else found.reason


def hold_bursts(_: int) -> str:
    """A receive buffer beyond net.core.rmem_max, for the connector and the taps."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        return "" if sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 16 << 20 else "a smaller one"


def see_opens(pid: int) -> str:
    """A mark on the container's overlay tells of a file of another user that is written and closed."""
    group = fanotify.Fanotify(fanotify.UNLIMITED_QUEUE)
    group.mark(f"/proc/{pid}/root".encode(), fanotify.CLOSE_WRITE, fanotify.MARK_FILESYSTEM)
    write(pid)
    paths = [os.readlink(f"/proc/self/fd/{event.fd}") for event in wait(group) if event.pid == os.getpid()]
    return "" if any(NAME in path for path in paths) else f"only {paths}"


def see_names(pid: int) -> str:
    """A mark on the file system of the upper directory tells of a new name, and its directory's handle is opened."""
    overlay = with_files(parse_mountinfo(Path(f"/proc/{pid}/mountinfo").read_bytes()))[0]
    root_fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)
    layers = find_layers(pid, overlay, root_fd)
    group = fanotify.Fanotify(fanotify.UNLIMITED_QUEUE | fanotify.REPORT_NAMES)
    with opened_at(layers.root, layers.upper) as upper_fd:
        group.mark_descriptor(upper_fd, fanotify.CREATE | fanotify.DELETE, fanotify.MARK_FILESYSTEM)
        write(pid)
        fids = [fid for event in wait(group) for fid in event.fids if fid.name == NAME.encode()]
        if not fids:
            return "no event with the name"
        place = os.readlink(f"/proc/self/fd/{open_handle(upper_fd, fids[0].handle)}")
        return "" if place.endswith("/tmp") else f"the handle leads to {place}"


def be_asked(pid: int) -> str:
    """A permission group is given: who it asks, and what, is another test's matter."""
    group = fanotify.Fanotify(fanotify.CLASS_CONTENT)
    group.mark(f"/proc/{pid}/root".encode(), fanotify.OPEN_EXEC_PERM, fanotify.MARK_FILESYSTEM)
    group.close()
    return ""


def tap_network(pid: int) -> str:
    """A packet socket and a netlink socket are opened in the container's network."""
    with entered(pid):
        found = probe_packet()
        socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 4).close()
        here = os.readlink("/proc/thread-self/ns/net")
    there = os.readlink(f"/proc/{pid}/ns/net")
    return found.reason if not found.available else "" if here == there else f"in {here}, not {there}"


def read_memory(pid: int) -> str:
    """What an exec's facts are read with: environment, descriptors, and the memory of another's process."""
    os.listdir(f"/proc/{pid}/fd")
    start = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[25])
    return "" if len(ptrace.read_memory(pid, start, 64)) == 64 else "a short read"


def trace(pid: int) -> str:
    """What the host mode falls back to: another's process is seized, stopped and let go."""
    ptrace.seize(pid, 0)
    ptrace.interrupt(pid)
    check(os.waitpid(pid, 0x40000000)[0], "waitpid")
    return "" if ptrace.detach(pid) else "it did not let go"


SENSES: tuple[Callable[[int], str], ...] = (
    see_processes,
    hold_bursts,
    see_opens,
    see_names,
    be_asked,
    tap_network,
    read_memory,
    trace,
)


def write(pid: int) -> None:
    """A new file in the container's /tmp, taken away again."""
    path = Path(f"/proc/{pid}/root/tmp/{NAME}")
    path.write_text("x")
    path.unlink()


def wait(group: fanotify.Fanotify) -> list[fanotify.RawEvent]:
    """What the group has within two seconds."""
    poller = select.poll()
    poller.register(group.fileno(), select.POLLIN)
    return group.read(65536) if poller.poll(2000) else []


def main(pid: int) -> dict[str, str]:
    """Each sense's answer; an error is an answer, too."""
    said = {}
    for sense in SENSES:
        try:
            said[sense.__name__] = sense(pid)
        except (OSError, ValueError, Unavailable, ProcessGone) as error:
            said[sense.__name__] = repr(error)
    return said


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
