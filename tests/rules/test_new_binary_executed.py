"""New Binary Executed, its build variant and its undecided one: hits, and as many near misses."""

import pytest
from transcripts import Transcript, at, file, pid, ran

from outrider_sidecar.settings import ExpectedDrift
from outrider_wire.events import FileChanged

NEW = [("Execution:Runtime/NewBinaryExecuted", "MEDIUM")]
LOW = [("Execution:Runtime/NewBinaryExecuted", "LOW")]


def changed(change: str, path: str, *, when: float = 50, ino: int = 50) -> FileChanged:
    return FileChanged(at(when), change, file(path, changed=when, ino=ino), mnt_ns=7, kind="elf")


HITS = {
    "written after the start": [ran(5, file("/tmp/x", changed=50))],
    "overwritten program of the image": [ran(5, file("/usr/bin/curl", changed=50))],
    "old times, but seen being made": [
        changed("created", "/tmp/x"),
        ran(5, file("/tmp/x", changed=50, modified=-9000)),
    ],
    "moved in with old times": [
        changed("moved_in", "/usr/bin/y"),
        ran(5, file("/usr/bin/y", changed=50, modified=-9000)),
    ],
    "a new script under an old interpreter": [
        ran(5, "/bin/sh", "sh", "/tmp/x.sh", script=file("/tmp/x.sh", changed=50)),
    ],
    "a new program handed to ld.so": [
        ran(5, "/lib64/ld-linux-x86-64.so.2", "ld.so", "/tmp/x", script=file("/tmp/x", changed=50)),
    ],
    "below a build tool that is itself new": [
        ran(4, file("/tmp/make", changed=40), "make"),
        ran(5, file("/tmp/x", changed=50), parent=4),
    ],
}

MISSES = {
    "a program of the image": [ran(5, "/usr/bin/curl")],
    "a program made just before the start": [ran(5, file("/usr/bin/curl", changed=-1))],
    "chmod in a watched directory": [
        changed("attributes", "/usr/bin/curl"),
        ran(5, file("/usr/bin/curl", changed=50, modified=-9000)),
    ],
    "an old script": [ran(5, "/bin/sh", "sh", "/entry.sh", script=file("/entry.sh"))],
    "a new file that is only an argument": [
        changed("created", "/tmp/x"),
        ran(5, "/bin/cat", "cat", "/tmp/x"),
    ],
    "a shell with a command line": [ran(5, "/bin/sh", "sh", "-c", "/tmp/x")],
    "a data file that changed": [changed("written", "/usr/bin/x"), ran(5, "/usr/bin/curl")],
}


@pytest.mark.parametrize("name", HITS)
def test_what_is_new_is_told(name):
    """A program or script whose content came after the container's creation is a medium finding."""
    story = Transcript(watched=("/usr/bin",))
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1))
    assert story.tell(*HITS[name])[-1:] == NEW


@pytest.mark.parametrize("name", MISSES)
def test_what_is_the_images_is_not(name):
    """Programs of the image, changed attributes and new files that are not executed raise nothing."""
    story = Transcript(watched=("/usr/bin",))
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1))
    assert story.tell(*MISSES[name]) == []


def test_a_build_is_one_low_finding(transcript):
    """Twenty programs in one directory below one build are told of once, and low."""
    transcript.tell(ran(4, "/usr/bin/make", "make", "test"))
    story = [ran(10 + n, file(f"/src/out/t{n}", changed=50, ino=60 + n), parent=4) for n in range(20)]
    assert transcript.tell(*story) == LOW
    assert transcript.engine.folded == 19


def test_another_directory_of_a_build_is_another_finding(transcript):
    """The fold is by top ancestor and directory."""
    transcript.tell(ran(4, "/usr/bin/make", "make"))
    both = transcript.tell(
        ran(10, file("/src/a/t", changed=50, ino=60), parent=4), ran(11, file("/src/b/t", changed=50, ino=61), parent=4)
    )
    assert both == LOW * 2


def test_what_cannot_be_decided_is_low(transcript):
    """A new ctime with an old mtime in a directory nobody watched may be anything: low."""
    assert transcript.tell(ran(5, file("/opt/tool", changed=50, modified=-9000))) == LOW


def test_a_script_that_could_not_be_read_hides_no_other(transcript):
    """Each is told of by its own name, though both lie in one directory."""
    unread = [file(f"/proc/self/fd/{n}", ino=0) for n in (3, 4)]
    stories = [ran(5 + n, "/bin/sh", "sh", each.path, script=each) for n, each in enumerate(unread)]
    assert transcript.tell(*stories) == LOW * 2


def test_expected_drift_is_silent():
    """Drift that the operator named by container-wide directory and the image's own ancestor raises nothing."""
    entry = ExpectedDrift(directory="/var/cache/app", ancestor="/usr/bin/updater")
    story = Transcript(expected_drift=(entry,))
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1), ran(4, "/usr/bin/updater"))
    assert story.tell(ran(5, file("/var/cache/app/plugin", changed=50), parent=4)) == []
    assert story.engine.silenced == 1


@pytest.mark.parametrize(
    "program",
    [
        file("/var/cache/application/plugin", changed=50),
        file("/var/cache/app/../../../tmp/plugin", changed=50),
        file("/tmp/plugin", changed=50),
    ],
)
def test_expected_drift_covers_no_more_than_it_says(program):
    """A neighbour directory with the same beginning, and a way out of it, are not covered."""
    entry = ExpectedDrift(directory="/var/cache/app", ancestor="/usr/bin/updater")
    story = Transcript(expected_drift=(entry,))
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1), ran(4, "/usr/bin/updater"))
    assert story.tell(ran(5, program, parent=4)) == NEW


def test_an_ancestor_that_drifted_itself_excuses_nothing():
    """An intruder's program under the updater's path is not the image's updater."""
    entry = ExpectedDrift(ancestor="/usr/bin/updater")
    story = Transcript(expected_drift=(entry,))
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1))
    found = story.tell(
        ran(4, file("/usr/bin/updater", changed=40, ino=70)), ran(5, file("/tmp/x", changed=50), parent=4)
    )
    assert found == NEW * 2


def test_the_finding_explains_itself(transcript):
    """What, where, who, by whose hand and what to do stand in the finding."""
    transcript.tell(
        ran(4, "/bin/sh", "sh", "-c", "cp /bin/true /tmp/x; /tmp/x", cwd="/srv", uid=33),
        ran(5, file("/tmp/x", changed=50), "/tmp/x", "--all", parent=4, cwd="/srv", uid=33),
    )
    (finding,) = transcript.found
    assert finding.process is not None
    assert (finding.process.pid, finding.process.cmdline, finding.process.cwd) == (5, "/tmp/x --all", "/srv")
    assert [a.pid for a in finding.process.ancestry] == [4, 1]
    assert finding.evidence["proc.new_file"] == "/tmp/x"
    assert finding.attribution == "exact"
    assert "/tmp/x" in finding.description
    assert finding.remedy
    assert finding.at.endswith("Z")


def test_a_storm_is_told_of_and_does_not_hide_the_next(transcript):
    """Two thousand different new programs in a minute: a thousand are told, the flood itself is a finding."""
    story = [ran(10 + n, file(f"/tmp/x{n}", changed=50, ino=100 + n), parent=1) for n in range(2000)]
    found = transcript.tell(*story)
    assert found[:1000] == NEW * 1000
    assert found[1000:] == [("Outrider:Integrity/FindingStorm", "HIGH")]
    assert transcript.engine.folded == 1000
    late = ran(9000, file("/tmp/real", changed=50, ino=9000), parent=1, when=120_000)
    assert transcript.tell(late)[-1:] == NEW


def test_one_program_run_again_and_again_is_one_finding(transcript):
    """A new program that cron runs each minute is told of once an hour; decoys hide nothing of another file."""
    again = [ran(10 + n, file("/tmp/x", changed=50), parent=1) for n in range(500)]
    assert transcript.tell(*again, ran(9000, file("/tmp/real", changed=50, ino=9000))) == NEW * 2


def test_a_program_that_changed_again_is_told_again(transcript):
    """The same name with other content is another finding."""
    both = ran(10, file("/tmp/x", changed=50), parent=1), ran(11, file("/tmp/x", changed=90), parent=1)
    assert transcript.tell(*both) == NEW * 2


def test_below_the_images_own_pip_is_a_build(transcript):
    """pip is a script: the interpreter's name says nothing, the script's does."""
    pip = ran(4, "/usr/bin/python3.11", "python3", "/usr/bin/pip3", "install", script=file("/usr/bin/pip3"))
    assert transcript.tell(pip, ran(5, file("/tmp/b/conftest", changed=50), parent=4)) == LOW


def test_below_a_pip_that_came_later_is_not(transcript):
    """An intruder's script that is called pip excuses nothing."""
    pip = ran(4, "/usr/bin/python3.11", "python3", "/tmp/pip3", script=file("/tmp/pip3", changed=40))
    assert transcript.tell(pip, ran(5, file("/tmp/b/conftest", changed=50), parent=4)) == NEW * 2


def test_the_same_process_seen_again_is_who_it_is(transcript):
    """A pid that was used again is another process with another line of ancestors."""
    transcript.tell(ran(5, "/bin/sh"))
    again = ran(5, file("/tmp/x", changed=50), parent=1)
    again = type(again)(**{f: getattr(again, f) for f in again.__struct_fields__} | {"process": type(pid(5))(5, 999)})
    transcript.tell(again)
    (finding,) = transcript.found
    assert finding.process is not None
    assert finding.process.start_ticks == 999


def test_a_copy_with_old_times_is_judged_again_when_the_watch_has_caught_up():
    """`cp -p x /usr/bin/y; /usr/bin/y`: the exec may reach the engine before the file watch's event does."""
    story = Transcript(watched=("/usr/bin",))
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1))
    story.engine.handle(ran(5, file("/usr/bin/y", changed=50, modified=-9000)))
    assert story.found == []
    assert story.tell(changed("created", "/usr/bin/y")) == NEW
