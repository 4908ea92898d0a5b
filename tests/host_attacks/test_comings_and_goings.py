"""Tasks come and go, the host process is killed, containers are left alone: nobody is harmed, and it is told."""

import json
import os
import signal
import time
from collections.abc import Callable

import pytest
from host_findings import Watch

from outrider_lab.attacks.scenario import NEW_BINARY
from outrider_lab.host.lab import HostLab
from outrider_lab.host.settings import HostSettings, HostTaskSettings
from outrider_lab.settings import MAIN, ContainerSettings
from outrider_wire.findings import Finding

pytestmark = pytest.mark.lab

ATTACK = "cp /bin/sleep /tmp/{0} && /tmp/{0} 0.1"
SPAWN = """
i=0
while [ $i -lt {count} ]; do
  /bin/true || echo "start $i failed"
  [ "$(echo $i | cat)" = $i ] || echo "pipe $i broken"
  i=$((i+1))
done
echo done $i
"""
GAP = "Outrider:Integrity/"
KILLS = 6
READY_S = 30.0


def wait_until(holds: Callable[[], bool], *, timeout_s: float = 10.0, what: str = "the condition") -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, f"{what} did not come in {timeout_s} s"
        time.sleep(0.02)


def program(name: str) -> Callable[[Finding], bool]:
    return lambda one: one.type == NEW_BINARY and one.process is not None and one.process.exe == f"/tmp/{name}"


@pytest.mark.parametrize("network", ["awsvpc", "bridge", "host"])
def test_a_task_that_comes_later_is_guarded_from_its_first_moment(lab: HostLab, network: str):
    """Its entry point itself is the attack, done as soon as it runs; after its end nothing of it is held."""
    name = f"early-{network}"
    main = ContainerSettings(name=MAIN, command=("/bin/sh", "-c", ATTACK.format(name) + "; sleep 100"))
    watch = Watch(lab)
    task = lab.start_task(HostTaskSettings(main=main, network=network, family="brief"))
    found = watch.wait(program(name))
    assert len(found) == 1
    assert found[0].container is not None
    assert found[0].container.id == task.facts["id:app"]
    wait_until(lambda: any(one.task and one.task.arn == task.arn for one in watch.wait(program(name))), what="its task")
    lab.stop_task(task)
    assert task.processes() == []
    with open(f"/proc/{lab.supervisor_pid}/mountinfo") as mounts:
        assert task.id not in mounts.read()


def test_a_restarted_container_is_guarded_again(lab: HostLab):
    """The container's next life, on the same files, is guarded like the first."""
    task = lab.start_task(HostTaskSettings(main=ContainerSettings(name=MAIN, command=("/bin/sleep", "100"))))
    watch = Watch(lab)
    task.restart()
    task.exec(["/bin/sh", "-c", ATTACK.format("second-life")])
    (finding,) = watch.wait(program("second-life"))
    assert finding.container is not None
    assert finding.container.id == task.facts["id:app"]
    lab.stop_task(task)


def test_many_tasks_come_and_go(lab: HostLab):
    """Twelve tasks, one after the other, each attacked as it runs: twelve findings, each of its own container."""
    watch = Watch(lab)
    ids: dict[str, str] = {}
    for number in range(12):
        task = lab.start_task(HostTaskSettings(network=("awsvpc", "bridge", "host")[number % 3], family="flock"))
        name = f"flock-{number}"
        task.run(ATTACK.format(name))
        ids[name] = task.facts["id:app"]
        lab.stop_task(task, timeout_s=0.0)
    everyone = watch.all_of(set(ids.values()))
    deadline_s = time.monotonic() + 10.0
    while len(everyone()) < len(ids) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    told = {one.process.name: one.container.id for one in everyone() if one.process and one.container}
    assert told == ids, ([(one.type, one.description) for one in everyone()], watch.state())


@pytest.mark.parametrize("whom", ["all", "first", "others"])
def test_killed_at_any_moment_it_harms_nobody(lab: HostLab, whom: str):
    """Every program of every task starts, runs and ends as it should while Outrider is killed again and again."""
    spawning = [task.popen(SPAWN.format(count=400)) for task in lab.tasks]
    for number in range(KILLS):
        wait_until(lambda: bool(lab.outrider_pids()), what="Outrider")
        pids = lab.outrider_pids()
        for pid in {"all": pids, "first": pids[:1], "others": pids[1:]}[whom]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # its parent's end ended it
        time.sleep(0.15 + 0.05 * number)
    for process in spawning:
        done = process.communicate(timeout_s=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"done 400\n", b"")
    wait_until(lambda: lab.wait_ready(timeout_s=0.0) and bool(lab.outrider_pids()), timeout_s=20, what="the next life")


def test_what_its_supervisor_leaves_behind_ends_by_itself(lab: HostLab):
    """When the first process is killed, the others go too, and the next life begins."""
    pids = lab.outrider_pids()
    os.kill(pids[0], signal.SIGKILL)
    wait_until(lambda: not set(pids) & set(lab.outrider_pids()), what="the end of its children")
    wait_until(lambda: len(lab.outrider_pids()) == len(pids), what="the next life")
    wait_until(lambda: lab.wait_ready(timeout_s=0.0), timeout_s=20, what="its readiness")


def test_a_kill_is_told_and_what_was_done_meanwhile_is_found(lab: HostLab):
    """The gap is a finding; a program that was put there in the gap is found when it is run after it."""
    watch = Watch(lab)
    task = lab.tasks[0]
    task.run("cp /bin/sleep /tmp/before-gap")
    pids = set(lab.kill_outrider())
    task.run("cp /bin/sleep /tmp/in-the-gap")
    wait_until(lambda: not pids & set(lab.outrider_pids()), what="the end of the killed")
    wait_until(lambda: bool(lab.outrider_pids()) and lab.wait_ready(timeout_s=0.0), timeout_s=20, what="the next life")
    task.run("/tmp/in-the-gap 0.1; /tmp/before-gap 0.1")
    for name in ("in-the-gap", "before-gap"):
        (finding,) = watch.wait(program(name))
        assert finding.task is not None
        assert finding.task.arn == task.arn
    assert watch.wait(lambda one: one.type.startswith(GAP)), [one.type for one in watch.findings()]


def test_excluded_containers_are_silent_and_listed():
    """What a selector excludes raises nothing, the container beside it does, and it is said who is left alone."""
    helper = ContainerSettings(name="helper", command=("/bin/sleep", "1000"))
    tasks = (
        HostTaskSettings(others=(helper,), family="guarded"),
        HostTaskSettings(others=(helper,), family="left-alone", network="bridge"),
    )
    env = {"OUTRIDER_EXCLUDE": "family=left-alone,container=helper"}
    with HostLab(HostSettings(tasks=tasks, env=env, ready_timeout_s=READY_S)) as lab:
        assert lab.ready, lab.log()
        guarded, left_alone = lab.tasks
        watch = Watch(lab)
        wait_until(lambda: all(said in lab.log() for said in ("left-alone", "helper")), what="the list")
        for task, container in ((left_alone, MAIN), (guarded, "helper"), (guarded, MAIN)):
            task.exec(["/bin/sh", "-c", ATTACK.format("same")], container=container)
        (finding,) = watch.wait(program("same"))
        time.sleep(1.0)
        assert finding.container is not None
        assert finding.container.id == guarded.facts["id:app"]
        assert [one for one in watch.findings() if program("same")(one)] == [finding]


def test_plain_docker_containers_are_guarded(lab: HostLab):
    """A container that the agent knows nothing of is guarded all the same, under its id."""
    task = lab.start_task(HostTaskSettings(cgroup="docker", listed=False))
    watch = Watch(lab)
    task.run(ATTACK.format("in-docker"))
    (finding,) = watch.wait(program("in-docker"))
    assert finding.container is not None
    assert finding.container.id == task.facts["id:app"]
    lab.stop_task(task)


def test_an_agent_that_is_down_costs_a_name_and_nothing_else():
    """A task that starts while the ECS agent is down is guarded at once, and named when the agent is back."""
    with HostLab(HostSettings(tasks=(), ready_timeout_s=READY_S)) as lab:
        assert lab.wait_ready(timeout_s=READY_S), lab.log()
        lab.control("agent", "stop")
        task = lab.start_task(HostTaskSettings(family="orphan"))
        watch = Watch(lab)
        task.run(ATTACK.format("nameless"))
        (finding,) = watch.wait(program("nameless"))
        assert finding.container is not None
        assert finding.container.id == task.facts["id:app"]
        lab.control("agent", "start")

        def is_named(number: int) -> bool:
            task.run(ATTACK.format(f"named-{number}"))
            found = watch.wait(program(f"named-{number}"))
            return bool(found) and found[0].task is not None and found[0].task.arn == task.arn

        numbers = iter(range(100))
        wait_until(lambda: is_named(next(numbers)), timeout_s=40, what="the name")


def test_health_says_what_was_chosen_and_how_much_of_each_start_was_read(lab: HostLab):
    """Which sense tells, how many programs' starts were seen, and of how many more than the program was known."""
    before = json.loads((lab.journal / "ready").read_text())["execs"]
    assert lab.tasks[0].run("for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done").returncode == 0

    def counted() -> bool:
        said = json.loads((lab.journal / "ready").read_text())
        assert said["chosen"] == {"process": "connector", "file": "fanotify"}
        assert sum(said["execs"].values()) == 2 * said["execs"]["seen"], "each start is of one kind"
        return said["execs"]["seen"] >= before["seen"] + 10

    wait_until(counted, what="the count of ten starts")
