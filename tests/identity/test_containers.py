"""Containers of several tasks: whose each is, who has ended, and what happens when the bound bites."""

import json

import pytest
from ecs_agent import ARN, CLUSTER, IDS, PAY, TASKS, WEB, task

from outrider_sidecar.decode.introspection import parse_tasks
from outrider_sidecar.selection import Choice
from outrider_sidecar.world.containers import FORGET_AFTER_NS, NAMED_WITHIN_NS
from outrider_sidecar.world.tree import Process
from outrider_wire.events import FileFacts, ProcessId
from outrider_wire.findings import TaskView

FACTS = parse_tasks(json.dumps(TASKS).encode(), cluster=CLUSTER)
SECOND = 1_000_000_000


def path(task_id: str, name: str) -> str:
    return f"0::/ecs/{task_id}/{IDS[name]}\n"


def test_each_container_has_its_own_task(new_containers):
    """Two tasks, three containers; what is seen before the agent tells is named when it does."""
    made = new_containers()
    app = made.see(1, path(WEB, "app"), 10, 5)
    made.learn_tasks(FACTS, cluster=CLUSTER)
    ledger = made.see(2, f"0::/docker/{IDS['ledger']}\n", 20, 15)
    assert (app.name, app.image, app.named_by) == ("app", "registry.example/web:7", "cgroup")
    assert made.task_of(app) == TaskView(f"{ARN}:task/{CLUSTER}/{WEB}", CLUSTER, "web", "7")
    assert (ledger.name, made.task_of(ledger).family) == ("ledger", "pay")
    assert app.drift.baseline_ns == 1_767_323_045_500_000_000
    assert made.task is None


def test_an_agent_that_says_nothing_leaves_the_task_id(new_containers):
    """The path alone tells the id; the ARN stays empty, the cluster is the instance's where that was told once."""
    made = new_containers()
    app = made.see(1, path(WEB, "app"), 10, 5)
    assert (app.task_id, made.task_of(app)) == (WEB, TaskView(""))
    made.learn_tasks((), cluster=CLUSTER)
    assert made.task_of(app) == TaskView("", CLUSTER)
    stray = made.see(2, f"0::/docker/{IDS['stray']}", 10, 5)
    assert (stray.task_id, made.task_of(stray)) == ("", None)


def test_nothing_is_guessed_on_a_host(new_containers):
    """One nameless container and one candidate do not name each other where there are many tasks."""
    made = new_containers()
    hidden = made.see(1, "0::/", 10, 5)
    made.learn_tasks(parse_tasks(json.dumps({"Tasks": [task(WEB, "web", app="i")]}).encode()))
    assert (hidden.name, hidden.task) == ("", None)


def test_a_name_once_learnt_stays(new_containers):
    """Whoever answers at the agent's port later cannot rename a container, nor move it to another task."""
    made = new_containers()
    app = made.see(1, path(WEB, "app"), 10, 5)
    made.learn_tasks(FACTS)
    made.learn_tasks(())
    assert app.name == "app"
    false = task(WEB, "evil", sidecar_log="i")
    false["Containers"][0]["DockerId"] = IDS["app"]
    made.learn_tasks(parse_tasks(json.dumps({"Tasks": [false]}).encode()))
    assert (app.name, made.task_of(app).family) == ("app", "web")


def test_a_task_that_the_path_belies_is_not_believed(new_containers):
    """The path is the runtime's word: a container of one task is not another's."""
    made = new_containers()
    app = made.see(1, path(PAY, "app"), 10, 5)
    made.learn_tasks(FACTS)
    assert (app.name, made.task_of(app).family) == ("", "pay")


def test_a_container_inside_a_container_is_its_tasks(new_containers):
    """Docker in a container: what the agent knows is the outer one, and that says whose it is."""
    made = new_containers()
    made.learn_tasks(FACTS)
    inner = made.see(1, f"0::/ecs/{WEB}/{IDS['app']}/docker/{IDS['stray']}", 10, 5)
    assert (inner.id, inner.name, made.task_of(inner).family) == (IDS["stray"], "app", "web")


def test_the_pause_container_is_known(new_containers):
    """The agent does not list it; its task's path and its one program tell, and it is no application."""
    made = new_containers()
    pause, odd = made.see(1, path(WEB, "pause"), 10, 5), made.see(2, path(WEB, "stray"), 10, 5)
    pause.meet(Process(ProcessId(7, 1), None, 10, exe=FileFacts("/pause")))
    odd.meet(Process(ProcessId(8, 1), None, 10, exe=FileFacts("/bin/sh")))
    made.learn_tasks(FACTS)
    assert (pause.name, pause.image, pause.is_pause) == ("~internal~ecs~pause", "amazon/amazon-ecs-pause", True)
    assert (odd.name, odd.is_pause, made.task_of(odd).family) == ("", False, "web")


def test_an_application_that_calls_itself_pause_is_an_application(new_containers):
    """What the agent lists has the name it lists."""
    made = new_containers()
    app = made.see(1, path(WEB, "app"), 10, 5)
    app.meet(Process(ProcessId(7, 1), None, 10, exe=FileFacts("/pause")))
    made.learn_tasks(FACTS)
    assert (app.name, app.is_pause) == ("app", False)


def test_a_namespace_that_is_used_again_is_another_container(new_containers):
    """The kernel gives the number of an ended container's mount namespace to the next one."""
    made = new_containers()
    made.learn_tasks(FACTS)
    first = made.see(1, path(WEB, "app"), 10, 5)
    again = made.see(1, path(PAY, "ledger"), 30, 25)
    assert (first.name, again.name) == ("app", "ledger")
    assert made.get(1) is again
    assert made.see(1, path(PAY, "ledger") + "0::/docker/x", 31, 25) is again
    assert made.see(1, f"0::/ecs/{PAY}/{IDS['ledger']}/init.scope", 31, 25) is again


def test_ended_containers_are_forgotten_after_a_while(new_containers):
    """What their last processes did may still be judged until then; one that lives on is kept."""
    made = new_containers()
    made.see(1, path(WEB, "app"), 0, 0), made.see(2, path(PAY, "ledger"), 0, 0)
    assert made.note_living({1}, SECOND) == []
    assert made.note_living({1}, SECOND + FORGET_AFTER_NS - 1) == []
    assert [c.mnt_ns for c in made.note_living({1}, SECOND + FORGET_AFTER_NS)] == [2]
    assert [c.mnt_ns for c in made.all()] == [1]


def test_ended_ones_make_room_first_and_the_bound_is_told_of(new_containers):
    """A living container goes only when none has ended; that is said once, and counted."""
    made = new_containers(max_containers=3)
    for number in (1, 2, 3):
        made.see(number, f"0::/docker/{number:064x}", number, number)
    made.note_living({1, 3}, 10)
    made.see(4, f"0::/docker/{4:064x}", 11, 11)
    assert ([c.mnt_ns for c in made.all()], made.evicted, made.take_notices()) == ([1, 3, 4], 0, [])
    made.see(5, f"0::/docker/{5:064x}", 12, 12)
    made.see(6, f"0::/docker/{6:064x}", 13, 13)
    assert ([c.mnt_ns for c in made.all()], made.evicted) == ([4, 5, 6], 2)
    (notice,) = made.take_notices()
    assert notice.standing and notice.sense == "containers" and "more than 3 containers" in notice.reason


def test_who_is_left_alone_is_told_once_with_the_setting(new_containers):
    """Container, task and setting; and again when it is guarded after all."""
    made = new_containers()
    out = {"app"}
    made.choose = lambda c: Choice("exclude container=app" if c.name in out else "", awaits=not c.name)
    app = made.see(1, path(WEB, "app"), 10, 5)
    assert (app.choice.excluded_by, app.choice.awaits) == ("", True)
    made.learn_tasks(FACTS)
    made.learn_tasks(FACTS)
    (notice,) = made.take_notices()
    assert notice.standing
    assert notice.reason == f"container app of task {ARN}:task/prod/{WEB} is not guarded: exclude container=app"
    assert made.excluded() == [app]
    out.clear()
    made.rechoose()
    (notice,) = made.take_notices()
    assert "is guarded from now on" in notice.reason
    assert made.excluded() == []


def test_too_many_notices_are_counted(new_containers):
    """A bound, and the number of what was not told one by one."""
    made = new_containers()
    made.choose = lambda c: Choice("exclude x")
    for number in range(1, 101):
        made.see(number, f"0::/docker/{number:064x}", 1, 1)
    notices = made.take_notices()
    assert len(notices) == 65
    assert notices[-1].lost == 36


@pytest.mark.parametrize(("awaits", "name", "waits"), [(True, True, True), (False, True, False), (False, False, True)])
def test_what_a_new_container_does_waits_for_its_name_and_its_choice(new_containers, awaits, name, waits):
    """Within the time that the agent takes; then it is judged as it is."""
    made = new_containers(choose=lambda _: Choice(awaits=awaits))
    made.may_be_named = True
    if name:
        made.learn_tasks(FACTS)
    made.see(1, path(WEB, "app"), 10, 5)
    assert made.awaits_name(1, 11) is waits
    assert not made.awaits_name(1, 10 + NAMED_WITHIN_NS)


def test_a_container_is_introduced_anew_when_more_is_known(new_containers):
    """First with its id alone, then once more with name and task; not again when nothing is new."""
    made = new_containers()
    app = made.see(1, path(WEB, "app"), 10, 5)
    first = made.introduce(app, 11)
    assert (first.id, first.name, first.task_arn) == (IDS["app"], "", "")
    assert made.renamed(12) == []
    made.learn_tasks(FACTS)
    (again,) = made.renamed(13)
    assert (again.at_ns, again.name, again.family, again.cluster) == (13, "app", "web", CLUSTER)
    made.learn_tasks(FACTS)
    assert made.renamed(14) == []
