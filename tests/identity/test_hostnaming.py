"""Naming a host's containers by a real agent over HTTP: also one that goes away, lies, hangs and comes back."""

import time

import pytest
from ecs_agent import ARN, IDS, METADATA, PAY, TASKS, WEB, task

from outrider_sidecar import hostnaming
from outrider_sidecar.hostnaming import HostNaming
from outrider_sidecar.selecting import Selecting
from outrider_sidecar.selection import Selection
from outrider_sidecar.world.tree import Process
from outrider_wire.events import FileFacts, ProcessExecuted, ProcessExited, ProcessId, SightLost


def meet(hosted, mnt_ns: int, cgroup: str, program: str = "/bin/app"):
    """A container with one process."""
    started = ProcessExecuted(1, ProcessId(1000 + mnt_ns, mnt_ns), exe=FileFacts(program), mnt_ns=mnt_ns)
    process: Process = hosted.tree.execute(started)
    container = hosted.containers.see(mnt_ns, cgroup, time.time_ns(), 1)
    container.meet(process)
    return container


def test_names_come_from_the_agent(agent, hosted):
    """One asking names all; the instance is known; nobody is asked for again without need."""
    app, ledger = meet(hosted, 1, f"0::/ecs/{WEB}/{IDS['app']}"), meet(hosted, 2, f"0::/docker/{IDS['ledger']}")
    naming = HostNaming(agent.uri)
    hosted.work(naming.chore, lambda: app.name and ledger.name)
    assert (hosted.containers.task_of(app).family, hosted.containers.task_of(ledger).family) == ("web", "pay")
    assert (naming.instance.arn, hosted.rebased) == (METADATA["ContainerInstanceArn"], 1)
    asked = len(agent.asked)
    naming.chore(hosted)
    assert len(agent.asked) == asked


def test_who_ended_long_ago_is_forgotten_by_all(agent, hosted):
    """The file watch and the rest are told, so that nothing grows with each task that was ever run."""
    naming = HostNaming(agent.uri)
    ended, living = meet(hosted, 1, f"0::/docker/{IDS['stray']}"), meet(hosted, 2, f"0::/docker/{IDS['ledger']}")
    ended.ended_at_ns = 1
    hosted.tree.exit(ProcessExited(2, ProcessId(1001, 1)))
    naming.chore(hosted)
    assert (hosted.forgotten, hosted.containers.all()) == ([ended], [living])


def test_a_new_container_is_asked_for_at_once(agent, hosted, monkeypatch):
    """Though the last asking was long ago and the next was far away."""
    monkeypatch.setattr(hostnaming, "WAITS_S", (0.0, 0.01, 0.01, 3600.0))
    naming = HostNaming(agent.uri)
    agent.answer["/v1/tasks"] = {"Tasks": []}
    stray = meet(hosted, 1, f"0::/docker/{IDS['stray']}")
    hosted.work(naming.chore, lambda: naming._tries > 2)
    agent.answer["/v1/tasks"] = TASKS
    app = meet(hosted, 2, f"0::/ecs/{WEB}/{IDS['app']}")
    hosted.work(naming.chore, lambda: app.name)
    assert stray.name == ""


def test_an_outage_keeps_names_and_new_ones_come_after_it(agent, hosted):
    """The agent stops, a container starts, the agent answers again: both have names, and both outages are said."""
    naming = HostNaming(agent.uri)
    agent.answer["/v1/tasks"] = {"Tasks": TASKS["Tasks"][:1]}
    app = meet(hosted, 1, f"0::/ecs/{WEB}/{IDS['app']}")
    hosted.work(naming.chore, lambda: app.name)
    agent.stop()
    ledger = meet(hosted, 2, f"0::/ecs/{PAY}/{IDS['ledger']}")
    hosted.work(naming.chore, lambda: naming.error)
    assert (app.name, ledger.name, ledger.task_id) == ("app", "", PAY)
    assert naming.status(hosted)["unnamed"] == [IDS["ledger"]]
    agent.answer["/v1/tasks"] = TASKS
    agent.start()
    hosted.work(naming.chore, lambda: ledger.name)
    assert (naming.error, naming.status(hosted)["unnamed"]) == ("", [])


@pytest.mark.parametrize("nonsense", [b"<html>", 503, {"Tasks": "x"}, "drip"])
def test_an_agent_that_talks_nonsense_is_asked_again(agent, hosted, nonsense):
    """Nothing of it is believed; its right answer is."""
    agent.answer["/v1/tasks"] = nonsense
    naming = HostNaming(agent.uri)
    app = meet(hosted, 1, f"0::/ecs/{WEB}/{IDS['app']}")
    hosted.work(naming.chore, lambda: naming.error)
    assert app.name == ""
    agent.let_go.set()
    agent.answer["/v1/tasks"] = TASKS
    hosted.work(naming.chore, lambda: app.name)


def test_an_agent_that_hangs_keeps_nobody_waiting(agent, hosted):
    """The chore comes back at once each time; the asking ends by itself."""
    agent.answer["/v1/metadata"] = "hang"
    naming = HostNaming(agent.uri)
    meet(hosted, 1, f"0::/ecs/{WEB}/{IDS['app']}")
    chores = 0

    def chore(guard):
        nonlocal chores
        naming.chore(guard)
        chores += not naming.error  # it came back, and the asking had not ended

    hosted.work(chore, lambda: naming.error)
    assert chores > 1


def test_askings_grow_rarer_while_somebody_stays_nameless(agent, hosted, monkeypatch):
    """A container that the agent does not know is asked for less and less often."""
    monkeypatch.setattr(hostnaming, "WAITS_S", (0.0, 0.01, 30.0))
    naming = HostNaming(agent.uri)
    meet(hosted, 1, f"0::/docker/{IDS['stray']}")
    hosted.work(naming.chore, lambda: naming._tries >= 2)
    asked = len(agent.asked)
    for _ in range(20):
        naming.chore(hosted)
    assert len(agent.asked) <= asked + 2


def test_without_an_address_nobody_is_asked(hosted):
    """And nothing waits for a name."""
    naming = HostNaming("")
    meet(hosted, 1, f"0::/docker/{IDS['stray']}")
    naming.chore(hosted)
    assert (naming._tries, hosted.containers.may_be_named) == (0, False)


def test_who_is_left_alone_is_listed_said_and_told(agent, hosted):
    """In health, and as a standing limit that names container, task and setting."""
    selecting = Selecting(Selection(exclude=["container=sidecar-*"]))
    selecting.begin(hosted)
    naming = HostNaming(agent.uri, on_learnt=selecting.chore)
    app, log = (meet(hosted, n, f"0::/ecs/{WEB}/{IDS[c]}") for n, c in ((1, "app"), (2, "sidecar-log")))
    assert log.choice.awaits and not log.choice.excluded_by
    hosted.work(naming.chore, lambda: hosted.events)
    (told,) = hosted.events
    arn = f"{ARN}:task/prod/{WEB}"
    assert isinstance(told, SightLost) and told.standing
    assert told.reason == f"container sidecar-log of task {arn} is not guarded: exclude container=sidecar-*"
    assert naming.status(hosted)["excluded"] == [
        {"container": "sidecar-log", "task": arn, "by": "exclude container=sidecar-*"}
    ]
    assert app.choice.excluded_by == ""


def test_an_ended_container_is_no_longer_listed(agent, hosted):
    """It is neither unnamed nor excluded any more."""
    naming = HostNaming(agent.uri)
    container = meet(hosted, 1, f"0::/docker/{IDS['stray']}")
    naming.chore(hosted)
    assert naming.status(hosted)["containers"] == 1
    process = hosted.tree.living()[0]
    process.exited_at_ns = 5
    naming.chore(hosted)
    assert container.ended_at_ns
    assert naming.status(hosted) | {"instance": "", "cluster": "", "agent_error": ""} == {
        "instance": "", "cluster": "", "agent_error": "", "containers": 0, "unnamed": [], "excluded": [],
    }  # fmt: skip


def test_an_older_agent_without_images_is_enough(agent, hosted):
    """Names and tasks come, images stay empty."""
    older = task(WEB, "web", app="")
    del older["Containers"][0]["Image"], older["Containers"][0]["CreatedAt"]
    agent.answer["/v1/tasks"] = {"Tasks": [older]}
    naming = HostNaming(agent.uri)
    app = meet(hosted, 1, f"0::/ecs/{WEB}/{IDS['app']}")
    hosted.work(naming.chore, lambda: app.name)
    assert (app.image, hosted.rebased) == ("", 0)
