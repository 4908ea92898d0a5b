"""What the engine holds back a moment, and for what."""

from transcripts import Transcript, file, ran

from outrider_sidecar.decode.metadata import ContainerFacts, TaskFacts
from outrider_wire.findings import TaskView

ID = "0123456789abcdef0123456789abcdef-1234567890"


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
