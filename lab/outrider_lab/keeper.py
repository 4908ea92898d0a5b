"""The keeper: forks the supervisor into a PID namespace of its own, and outlives it by one sweep.

Three processes stand between the program that asks for a task and the task:

    asker (outrider lab, pytest) -- keeper -- supervisor, first process of a PID namespace -- everything else
                                          `-- a container instance's host process, in the machine's own namespaces

- The asker ends, by whatever signal: the keeper sees it by a pidfd, kills the supervisor, sweeps the cgroups.
- The keeper ends: the kernel kills the supervisor (PR_SET_PDEATHSIG), and with it the namespace and everything in it;
  and the host process in the same way.
- The supervisor ends: the kernel kills everything in its namespace; the keeper ends the host process and sweeps the
  cgroups.

Mounts, network namespaces and interfaces need nobody: they live in namespaces that end with the supervisor. Only
cgroups outlive their processes, and those of a keeper that was itself killed wait for the next lab's start.
"""

import os
import select
import signal
import socket
import sys
from typing import Final

from outrider_lab.cgroups import name_of, remove_own, sweep
from outrider_lab.host.link import HostLink, HostProcess
from outrider_lab.namespaces import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    die_with_parent,
    make_mounts_private,
    mount,
    set_namespace,
    unshare,
)
from outrider_sidecar.linux.procfs import read_stat

ORPHANS_MS: Final = 250
"""How often what the host process left behind is reaped."""


def main(arguments: list[str]) -> int:
    """Arguments: the number of the control socket's descriptor, and the pid of the program that asks."""
    control, asker = int(arguments[0]), int(arguments[1])
    try:
        asker_fd = os.pidfd_open(asker)
    except ProcessLookupError:
        return 0
    if os.getppid() != asker:
        return 0  # it ended before we held it; its pid may be anyone's by now
    os.setsid()  # a Ctrl-C at the terminal is the asker's to hear
    sweep()
    owner = read_stat(os.getpid()).process
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    unshare(CLONE_NEWPID)
    supervisor = os.fork()
    if supervisor == 0:
        ours.close()
        _become_supervisor(control, name_of(owner), theirs)
    theirs.close()
    set_namespace(home, CLONE_NEWPID)  # of the children that are still to come
    with socket.socket(fileno=control) as sock:
        sock.send(str(supervisor).encode())
    host = HostProcess(ours, spared=supervisor)
    try:
        _outlive(supervisor, asker_fd, host)
    finally:
        host.end()
    remove_own(owner)
    return 0


def _become_supervisor(control: int, owner: str, link: socket.socket) -> None:
    """Take namespaces of our own, then run the task; never returns."""
    code = 1
    try:
        die_with_parent(signal.SIGKILL)
        network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        own_pid = int(os.readlink("/proc/self"))  # as the machine's /proc has it
        unshare(CLONE_NEWNS | CLONE_NEWNET)
        make_mounts_private()
        mount("proc", "/proc")
        from outrider_lab.supervisor import supervise  # the keeper itself stays small

        code = supervise(socket.socket(fileno=control), owner, HostLink(link, network=network, supervisor=own_pid))
    except BaseException:
        sys.excepthook(*sys.exc_info())
        raise
    finally:
        sys.stderr.flush()
        os._exit(code)


def _outlive(supervisor: int, asker_fd: int, host: HostProcess) -> None:
    """Return when the supervisor is gone; make it go when the asker is. Does what the supervisor asks meanwhile."""
    supervisor_fd = os.pidfd_open(supervisor)
    while True:
        poll = select.poll()
        for fd in (supervisor_fd, asker_fd, *host.filenos()):
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(ORPHANS_MS if host.started else None)}
        if supervisor_fd in ready or asker_fd in ready or not host.turn(ready):
            break
    if supervisor_fd not in ready:
        os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
