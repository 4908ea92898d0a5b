"""What is placed by the network it was seen in, and which containers belong together."""

import pytest
from transcripts import NS, Transcript, at, pid, ran

from outrider_sidecar.world.containers import Containers
from outrider_sidecar.world.drift import DriftRecord
from outrider_sidecar.world.networks import Networks
from outrider_wire.events import ConnectionOpened, NameQueried, ProcessExited, SocketFacts
from outrider_wire.findings import TaskView

HOST, RED, BLUE = 100, 101, 102


def make_containers(**where):
    """Containers by mount namespace: (network, task)."""
    containers = Containers(lambda _, started_ns, __: DriftRecord(started_ns))
    for number, (net_ns, arn) in enumerate(where.values(), start=1):
        container = containers.see(number, "", 0, 0)
        container.net_ns, container.name = net_ns, list(where)[number - 1]
        container.task = TaskView(f"arn:aws:ecs:x:1:task/c/{arn}") if arn else None
    return containers


def test_the_only_container_of_a_network_is_known_by_it():
    """Of two the container is not known, but the task they share is; of two tasks not even that."""
    containers = make_containers(one=(RED, "a"), two=(BLUE, "b"), three=(BLUE, "b"), four=(103, "c"), five=(103, "d"))
    networks = Networks(containers, host_net_ns=HOST)
    assert networks.container_of(RED).name == "one"
    assert networks.container_of(BLUE) is None
    assert networks.task_of(BLUE).arn.endswith("/b")
    assert networks.task_of(103) is None
    assert networks.task_of(0) is networks.container_of(0) is None


def test_the_hosts_own_network_places_nobody():
    """Whoever is in it with host network mode is not the only one there."""
    networks = Networks(make_containers(one=(HOST, "a")), host_net_ns=HOST)
    assert networks.container_of(HOST) is networks.task_of(HOST) is None


def test_ended_containers_and_the_one_that_holds_the_network_are_left_out():
    """The pause container of awsvpc mode runs nothing of the task; who ended did not do it."""
    containers = make_containers(app=(RED, "a"), pause=(RED, "a"), ended=(RED, "a"))
    containers.get(2).kind = "CNI_PAUSE"
    containers.get(3).ended_at_ns = 5
    assert Networks(containers, host_net_ns=HOST).container_of(RED).name == "app"


def test_neighbours_share_a_task_or_a_network():
    """In bridge mode a task's containers have networks of their own; where one task is guarded all are neighbours."""
    containers = make_containers(
        a1=(RED, "a"), a2=(BLUE, "a"), b1=(103, "b"), x1=(104, ""), x2=(104, ""), h1=(HOST, "h"), h2=(HOST, "i")
    )
    networks = Networks(containers, host_net_ns=HOST)
    assert networks.neighbours(1) == {1, 2}
    assert networks.neighbours(3) == {3}
    assert networks.neighbours(4) == {4, 5}
    assert networks.neighbours(6) == {6}
    assert networks.neighbours(99) == {99}
    assert Networks(containers).neighbours(1) is None


def opened(net_ns, *, when=100.0, **facts):
    ends = ("10.0.0.1", 40000, "10.0.0.9", 443)
    return ConnectionOpened(at(when), *ends, direction="outbound", net_ns=net_ns, **facts)


@pytest.fixture
def story():
    """Two containers: NS in the red network, 8 in the blue one, on a host."""
    made = Transcript()
    made.world.networks = Networks(made.world.containers, host_net_ns=HOST)
    made.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1))
    made.world.containers.get(NS).net_ns = RED
    made.world.containers.see(8, "", at(1), at(1)).net_ns = BLUE
    return made


def test_a_connection_of_nobody_known_is_of_its_networks_container(story):
    """It has its mark, and its task."""
    story.world.containers.get(NS).task = TaskView("arn:aws:ecs:x:1:task/c/a")
    event = opened(RED)
    container = story.world.container_of(event, None)
    assert container.mnt_ns == NS
    assert story.world.task_of(event, container).arn.endswith("/a")
    assert story.world.container_of(opened(HOST), None) is None
    assert story.world.container_of(opened(RED, mnt_ns=8), None).mnt_ns == 8


def test_a_containers_network_is_read_when_its_first_program_is_met():
    """Once, of the process that was met."""
    asked = []
    story = Transcript()
    story.world._network_of = lambda number: asked.append(number) or RED
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1), ran(5, "/bin/ls", when=50))
    assert story.world.containers.get(NS).net_ns == RED
    assert asked == [1]


def test_an_exit_claims_nothing_of_another_network(story):
    """Two containers may have the same ports on the same addresses."""
    socket = SocketFacts(9, "tcp", "10.0.0.1", 40000, "10.0.0.9", 443)
    for net_ns in (BLUE, RED):
        story.handle(opened(net_ns))
    story.tell(ran(5, "/usr/bin/curl", when=90), ProcessExited(at(101), pid(5), 0, sockets=(socket,)))
    owners = {event.net_ns: event.owner for event in story.told if isinstance(event, ConnectionOpened)}
    assert owners == {RED: pid(5), BLUE: None}


def test_who_asked_is_looked_for_in_the_questions_network(story):
    """A program of another container that names the host is not the one."""
    story.tell(ran(5, "/usr/bin/dig", "dig", "pool.example", when=90))
    for net_ns in (BLUE, RED):
        story.tell(NameQueried(at(100), "pool.example", "A", net_ns=net_ns))
    owners = {event.net_ns: event.owner for event in story.told if isinstance(event, NameQueried)}
    assert owners == {RED: pid(5), BLUE: None}
