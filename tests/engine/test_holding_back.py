"""What the engine holds back a moment, and for what."""

from transcripts import NS, Transcript, at, file, pid, ran

from outrider_sidecar.decode.metadata import ContainerFacts, TaskFacts
from outrider_sidecar.engine import RECORD_WAIT_S
from outrider_sidecar.sensors.host.pending import HOLD_LATE_NS
from outrider_sidecar.world.networks import Networks
from outrider_wire.events import FileChanged, NameQueried, ProcessId
from outrider_wire.findings import TaskView

ID = "0123456789abcdef0123456789abcdef-1234567890"
OTHER_ID = "fedcba9876543210fedcba9876543210-1234567891"


def new_container() -> Transcript:
    """A container that was just seen, of a task whose endpoint has not told its name yet."""
    story = Transcript()
    story.world.containers.may_be_named = True
    story.engine.handle(ran(1, "/usr/sbin/nginx", parent=None, when=1, cgroup=f"0::/ecs/x/{ID}"))
    return story


def test_a_finding_waits_for_its_containers_name():
    """The name comes a moment later: the finding has it, and comes at once then."""
    story = new_container()
    story.engine.handle(ran(5, file("/tmp/x", changed=50), when=60))
    story.engine.tick(0)
    assert story.found == []
    story.world.containers.learn(TaskFacts(TaskView("arn"), (ContainerFacts(ID, "app"),)))
    story.engine.tick(0)
    (finding,) = story.found
    assert finding.container is not None
    assert finding.container.name == "app"


def test_a_name_that_does_not_come_is_not_waited_for_long():
    """Without a name the finding comes all the same, with the container's id."""
    story = new_container()
    story.tell(ran(5, file("/tmp/x", changed=50), when=60))
    (finding,) = story.found
    assert finding.container is not None
    assert (finding.container.name, finding.container.id) == ("", ID)


def test_what_waits_is_judged_before_its_namespaces_number_is_anothers():
    """A short task is over, and the kernel gives its number to the next one, before its finding's name could come."""
    story = new_container()
    story.engine.handle(ran(5, file("/tmp/x", changed=50), when=60))
    story.engine.handle(ran(8, "/usr/sbin/nginx", parent=None, when=90, cgroup=f"0::/ecs/y/{OTHER_ID}"))
    (finding,) = story.found
    assert finding.container is not None
    assert finding.container.id == ID
    story.engine.handle(ran(9, file("/tmp/x", changed=95), parent=8, when=99))
    story.let_pass(1.0)
    assert [one.container and one.container.id for one in story.found] == [ID, OTHER_ID]


def test_what_is_behind_is_waited_for():
    """The engine has not taken all that came before: an owner may be among it."""
    story = new_container()
    behind = True
    story.engine._all_taken = lambda: not behind
    story.engine.handle(ran(5, file("/tmp/x", changed=50), when=60))
    story.seconds = 0.6
    story.engine.tick(0)
    assert story.found == []
    behind = False
    story.engine.tick(0)
    assert len(story.found) == 1


def read(*, when: float, actor: ProcessId | None = None) -> FileChanged:
    how = "inferred" if actor is not None else "unknown"
    return FileChanged(at(when), "opened", file("/etc/shadow"), mnt_ns=NS, actor=actor, attribution=how)


def test_a_reading_waits_for_the_record_of_its_readers_start():
    """The watch wakes at once and the record comes after: the shell that named the file was to become the reader."""
    story = Transcript()
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1))
    story.handle(ran(5, "/bin/sh", "sh", "-c", "exec cat /etc/shadow", when=50))
    story.handle(read(when=60))
    story.handle(ran(5, "/bin/cat", "cat", "/etc/shadow", when=55))
    story.let_pass(0.1)
    (told,) = [event for event in story.told if isinstance(event, FileChanged)]
    assert (told.actor, told.attribution) == (pid(5), "inferred")
    process = story.world.tree.get(told.actor)
    assert process is not None
    assert process.exe.path == "/bin/cat"


def test_a_reader_that_was_seen_is_waited_for_all_the_same():
    """Who holds the file is known before what it runs is."""
    story = Transcript()
    story.handle(read(when=60, actor=pid(5)))
    assert story.told == []
    story.handle(ran(5, "/bin/cat", "cat", "/etc/shadow", when=55))
    story.let_pass(0.1)
    assert [event.actor for event in story.told if isinstance(event, FileChanged)] == [pid(5)]


def test_a_reading_by_nobody_who_names_the_file_stays_nobodys():
    """Told after its wait, without a process that nobody knows."""
    story = Transcript()
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1))
    story.tell(read(when=60))
    assert [event.actor for event in story.told if isinstance(event, FileChanged)] == [None]


def test_a_reading_whose_process_the_kernel_told_is_judged_at_once():
    """Nothing is to come that would tell more."""
    story = Transcript()
    event = FileChanged(at(60), "opened", file("/etc/shadow"), mnt_ns=NS, actor=pid(5), attribution="exact")
    story.handle(event)
    assert story.told == [event]


def test_a_question_waits_for_the_record_of_its_askers_start():
    """The packet was read first, of a process that nobody knows yet."""
    story = Transcript()
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1))
    story.handle(NameQueried(at(60), "pool.example", "A", owner=pid(5), attribution="exact", mnt_ns=NS))
    assert story.found == []
    story.handle(ran(5, "/usr/bin/getent", "getent", "hosts", "pool.example", when=55))
    story.let_pass(RECORD_WAIT_S)
    (finding,) = story.found
    assert finding.process is not None
    assert finding.process.exe == "/usr/bin/getent"


def test_on_a_host_a_question_waits_for_what_its_asker_runs():
    """The packet is seen at once and the record of the start a moment later: the shell was about to become getent."""
    story = Transcript()
    story.engine._record_wait_s = RECORD_WAIT_S
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1))
    story.handle(ran(5, "/bin/sh", "sh", "-c", "exec getent hosts pool.example", when=50))
    asked = NameQueried(at(60), "pool.example", "A", owner=pid(5), attribution="exact", mnt_ns=NS)
    story.handle(asked)
    assert story.found == []
    story.handle(ran(5, "/usr/bin/getent", "getent", "hosts", "pool.example", when=55))
    story.let_pass(RECORD_WAIT_S)
    (finding,) = story.found
    assert finding.process is not None
    assert finding.process.exe == "/usr/bin/getent"


HOST = 4026531840


def asked_on_a_host(name: str, *, host_guarded: bool) -> Transcript:
    """A guarded program was given a name; then that name, or another, is asked for in the host's network, by nobody."""
    story = Transcript()
    story.world.networks = Networks(story.world.containers, host_net_ns=HOST, host_guarded=host_guarded)
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1))
    story.tell(ran(5, "/usr/bin/getent", "getent", "hosts", "pool.example", when=59))
    story.tell(NameQueried(at(60), name, "A", net_ns=HOST))
    return story


def test_a_question_among_strangers_is_of_the_guarded_program_that_was_given_the_name():
    """In the host's own network, where the asker was gone: inferred, and said to be."""
    story = asked_on_a_host("pool.example", host_guarded=False)
    (finding,) = story.found
    assert finding.process is not None
    assert (finding.process.pid, finding.attribution) == (5, "inferred")


def test_a_question_among_strangers_that_no_guarded_program_was_given_is_let_go():
    """Whatever began a moment before in a container: the host's own programs ask, too. It is counted."""
    story = asked_on_a_host("other.pool.example", host_guarded=False)
    assert (story.found, story.engine.strangers) == ([], 1)
    assert not [event for event in story.told if isinstance(event, NameQueried)]


def test_on_a_guarded_host_such_a_question_is_told():
    """There are no strangers."""
    story = asked_on_a_host("other.pool.example", host_guarded=True)
    assert (len(story.found), story.engine.strangers) == (1, 0)


def test_a_record_that_the_lookout_keeps_back_is_waited_for():
    """What the program did reaches the engine a moment after its start, and its late record 20 ms after that start."""
    assert RECORD_WAIT_S * 1e9 >= 2 * HOLD_LATE_NS
