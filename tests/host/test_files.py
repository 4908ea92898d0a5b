"""Files of containers watched by fanotify: what is told, of whom, and what is not. Real overlays, real processes."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from overlays import Overlay, Watch, watching

from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.host.fanotify_probe import probe_fanotify
from outrider_sidecar.sensors.host.marks import FileMarks
from outrider_sidecar.sensors.host.queues import Batch, Bounds, Queues
from outrider_sidecar.sensors.host.runs import Write
from outrider_wire.events import ProcessId, SightLost

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="fanotify marks of file systems need root")

Make = Callable[..., Overlay]


def test_fanotify_works_here() -> None:
    """The probe does what the watch does, and says so."""
    found = probe_fanotify()
    assert (found.sense, found.sensor, found.available) == ("file", "fanotify", True), found


CHANGES = (
    ("put('/tmp/new')", [("created", "/tmp/new")]),
    ("put('/tmp/new', 'again')", [("written", "/tmp/new")]),
    ("put('/tmp/a.tmp'); os.rename('/tmp/a.tmp', '/tmp/a')",
     [("created", "/tmp/a.tmp"), ("moved_out", "/tmp/a.tmp"), ("moved_in", "/tmp/a")]),
    ("os.rename('/tmp/new', '/tmp/a')", [("moved_out", "/tmp/new"), ("moved_in", "/tmp/a")]),
    ("os.chmod('/tmp/a', 0o700)", [("attributes", "/tmp/a")]),
    ("os.link('/tmp/a', '/tmp/b')", [("linked", "/tmp/b")]),
    ("os.unlink('/tmp/b')", [("deleted", "/tmp/b")]),
    ("os.symlink('/tmp/a', '/tmp/s'); os.mkfifo('/tmp/f')", [("created", "/tmp/s"), ("created", "/tmp/f")]),
    ("put('/tmp/x'); put('/tmp/y')\nlibc.renameat2(-100, b'/tmp/x', -100, b'/tmp/y', 2)",
     [("created", "/tmp/x"), ("created", "/tmp/y"), ("moved_out", "/tmp/x"), ("moved_in", "/tmp/y"),
      ("moved_out", "/tmp/y"), ("moved_in", "/tmp/x")]),
    ("os.mkdir('/tmp/d')", [("created", "/tmp/d")]),
    ("os.chmod('/tmp/d', 0o700)", [("attributes", "/tmp/d")]),
    ("os.rmdir('/tmp/d')", [("deleted", "/tmp/d")]),
)  # fmt: skip


@pytest.mark.parametrize("layers", ["plain", "tmpfs"])
def test_every_kind_of_change_is_told_as_what_it_was(make: Make, watch: Watch, layers: str) -> None:
    """Also where the upper directory is on a file system that only the mounter's namespace shows."""
    container = make(layers=layers)
    watch.add(container)
    assert watch.watched(container).sensor == "fanotify", watch.watched(container)
    for doing, expected in CHANGES:
        assert watch.tell(container, doing) == expected, doing


IMAGE_FILES = (
    ("os.chmod('/usr/bin/tail', 0o700)", [("attributes", "/usr/bin/tail")]),
    ("os.utime('/usr/bin/head')", [("attributes", "/usr/bin/head")]),
    ("file = open('/etc/hosts', 'a'); file.write('#')", []),
    ("file.close()", [("written", "/etc/hosts")]),
    ("os.link('/etc/services', '/etc/s2')", [("linked", "/etc/s2")]),
    ("os.rename('/usr/bin/wc', '/tmp/wc')", [("moved_out", "/usr/bin/wc"), ("moved_in", "/tmp/wc")]),
    ("os.unlink('/etc/issue')", [("deleted", "/etc/issue")]),
    ("put('/etc/issue')", [("created", "/etc/issue")]),
    ("os.unlink('/etc/issue')", [("deleted", "/etc/issue")]),
    ("os.symlink('x', '/etc/issue')", [("created", "/etc/issue")]),
    ("put('/tmp/issue'); os.rename('/tmp/issue', '/etc/issue')",
     [("created", "/tmp/issue"), ("moved_out", "/tmp/issue"), ("moved_in", "/etc/issue")]),
    ("os.chmod('/opt', 0o711)", [("attributes", "/opt")]),
    ("shutil.rmtree('/etc/cron.d')",
     [("deleted", "/etc/cron.d/e2scrub_all"), ("deleted", "/etc/cron.d")]),
    ("os.mkdir('/etc/cron.d')", [("created", "/etc/cron.d")]),
    ("put('/etc/cron.d/job')", [("created", "/etc/cron.d/job")]),
    ("os.rename('/etc/cron.d', '/etc/moved')", [("moved_out", "/etc/cron.d"), ("moved_in", "/etc/moved")]),
    ("put('/etc/moved/more')", [("created", "/etc/moved/more")]),
    ("os.unlink('/usr/bin/tail'); os.rename('/tmp/wc', '/usr/bin/tail')",
     [("deleted", "/usr/bin/tail"), ("moved_out", "/tmp/wc"), ("moved_in", "/usr/bin/tail")]),
)  # fmt: skip


@pytest.mark.parametrize("layers", ["plain", "tmpfs"])
def test_what_overlayfs_does_for_itself_is_no_change(make: Make, watch: Watch, layers: str) -> None:
    """A copy-up is never a creation or a move, a whiteout is a deletion, and what stands on one was created."""
    container = make(layers=layers)
    watch.add(container)
    for doing, expected in IMAGE_FILES:
        assert watch.tell(container, doing) == expected, doing


def test_the_actor_and_the_facts_are_exact(make: Make, watch: Watch) -> None:
    """The pid is of the process that did it, and device and inode are those the container itself sees."""
    container = make()
    watch.add(container)
    container.do("put('/tmp/p', '#!/bin/sh'); os.chmod('/tmp/p', 0o755)")
    watch.settle()
    event = next(e for e in watch.changes(container) if e.file.path == "/tmp/p")
    status = os.stat(f"/proc/{container.pid}/root/tmp/p")
    assert (event.actor, event.attribution) == (ProcessId(container.pid, 1), "exact")
    assert (event.file.dev, event.file.ino, event.kind) == (status.st_dev, status.st_ino, "script")


def test_deep_new_trees_and_what_was_deleted_with_its_directory(make: Make, watch: Watch) -> None:
    """Directories that are gone before their events are read are known by the events that made them."""
    container = make()
    watch.add(container)
    told = watch.tell(
        container,
        "path = '/tmp' + ''.join(f'/{n}' for n in range(20)); os.makedirs(path); put(path + '/leaf')",
        "shutil.rmtree('/tmp/0')",
    )
    deep = "/tmp" + "".join(f"/{n}" for n in range(20))
    assert ("created", deep + "/leaf") in told and ("deleted", deep + "/leaf") in told
    assert sorted(told) == sorted(
        [(change, deep + "/leaf") for change in ("created", "deleted")]
        + [(c, "/tmp" + "".join(f"/{n}" for n in range(k))) for k in range(1, 21) for c in ("created", "deleted")]
    )


def test_a_renamed_directory_takes_its_paths_along(make: Make, watch: Watch) -> None:
    """What happens in it before is told by the old name, what comes after by the new, and deletions in it too."""
    container = make()
    container.do("os.makedirs('/tmp/old/in')", "put('/tmp/old/in/was')")
    watch.add(container)
    told = watch.tell(
        container,
        "put('/tmp/old/in/one'); os.rename('/tmp/old', '/tmp/new'); put('/tmp/new/in/two')",
    )
    assert [one for one in told if one[0] != "written"] == [
        *(("created", "/tmp/old/in/one"), ("moved_out", "/tmp/old"), ("moved_in", "/tmp/new")),
        ("created", "/tmp/new/in/two"),
    ]
    told = watch.tell(container, "shutil.rmtree('/tmp/new')")
    assert {path for change, path in told if change == "deleted"} == {
        "/tmp/new", "/tmp/new/in", "/tmp/new/in/was", "/tmp/new/in/one", "/tmp/new/in/two",
    }  # fmt: skip


def test_files_without_a_name(make: Make, watch: Watch) -> None:
    """What O_TMPFILE made is told of when it is given a name."""
    container = make()
    watch.add(container)
    assert watch.tell(
        container,
        "fd = os.open('/tmp', os.O_TMPFILE | os.O_RDWR); os.write(fd, b'x')\n"
        "check(libc.linkat(-100, f'/proc/self/fd/{fd}'.encode(), -100, b'/tmp/named', 0x400)); os.close(fd)",
    ) == [("created", "/tmp/named")]


def test_hostile_names_are_told(make: Make, watch: Watch) -> None:
    """Any byte but a slash may stand in a name."""
    container = make()
    watch.add(container)
    told = watch.tell(container, "put(b'/tmp/\\xff\\n'); put('/tmp/a (deleted)')")
    assert told == [("created", "/tmp/\\xff\n"), ("created", "/tmp/a (deleted)")]


def test_what_changed_before_the_watch_is_found(make: Make, watch: Watch) -> None:
    """Programs and scripts since the baseline, and what keeps an old mtime; nothing that is older."""
    container = make()
    container.do("put('/tmp/before', '#!x')")
    time.sleep(0.05)
    baseline_ns = time.time_ns()
    container.do(
        "put('/tmp/elf', '\\x7fELF'); put('/dev/shm/s', '#!'); put('/tmp/text')\n"
        "put('/tmp/dated'); os.utime('/tmp/dated', (1, 1)); os.unlink('/etc/issue')"
    )
    watch.add(container, baseline_ns)
    found = {event.file.path: (event.change, event.kind) for event in watch.changes(container)}
    assert found == {
        "/tmp/elf": ("found", "elf"), "/dev/shm/s": ("found", "script"), "/tmp/dated": ("found", "other"),
    }  # fmt: skip


def test_who_opened_what_to_run_it(make: Make, watch: Watch) -> None:
    """The script first, then its interpreter and the dynamic linker; forgotten when asked to."""
    container = make(lower=Path("/"))
    watch.add(container)
    container.do(
        "put('/tmp/s', '#!/bin/sh\\necho\\n'); os.chmod('/tmp/s', 0o755)",
        "child = subprocess.Popen(['/tmp/s'], stdout=subprocess.DEVNULL)",
        "child.wait(); put('/tmp/pid', str(child.pid))",
    )
    watch.settle()
    pid = int(Path(f"/proc/{container.pid}/root/tmp/pid").read_text())
    opened = [file.path for file in watch.marks.opened_by(pid)]
    assert opened[0] == "/tmp/s" and opened[1].endswith(("/dash", "/sh", "/bash")) and "ld" in opened[2]
    watch.marks.forget(pid)
    assert not watch.marks.opened_by(pid)


def test_who_reads_a_listed_file(make: Make, watch: Watch) -> None:
    """Once for each reading, by the very process; also after the file was replaced; and nobody unguarded."""
    container = make()
    watch.add(container)
    assert watch.tell(container, "open('/etc/shadow').read()") == [("opened", "/etc/shadow")]
    event = watch.changes(container)[-1]
    assert (event.actor, event.attribution) == (ProcessId(container.pid, 1), "exact")
    assert watch.tell(container, "file = open('/etc/shadow'); file.read(1)") == [("opened", "/etc/shadow")]
    assert watch.tell(container, "file.close()") == []
    watch.tell(container, "put('/etc/s', 'x' * 99); os.rename('/etc/s', '/etc/shadow')")
    assert watch.tell(container, "open('/etc/shadow').read()") == [("opened", "/etc/shadow")]
    assert watch.tell(container, "put('/root/.bashrc'); open('/root/.bashrc').read()")[-1:] == [
        ("opened", "/root/.bashrc")
    ] or ("opened", "/root/.bashrc") in watch.tell(container, "open('/root/.bashrc').read()")
    watch.guards = lambda _: False
    assert watch.tell(container, "open('/etc/shadow').read()") == []


def test_what_an_outsider_changes_is_told_with_nobody_named(make: Make, watch: Watch) -> None:
    """A file that is put into a container from outside is a change of it all the same."""
    container = make()
    watch.add(container)
    watch.guards = lambda _: False
    Path(f"/proc/{container.pid}/root/tmp/from-outside").write_text("x")
    subprocess.run(["cp", "/bin/true", f"/proc/{container.pid}/root/tmp/cp"], check=True)
    watch.settle()
    told = {(e.change, e.file.path, e.actor) for e in watch.changes(container) if e.change == "created"}
    assert ("created", "/tmp/cp", None) in told


def test_twenty_thousand_creations_are_all_told(make: Make, watch: Watch) -> None:
    """None is lost, whether they are read meanwhile or pile up."""
    container = make()
    watch.add(container)
    container.do("for n in range(20000):\n open(f'/tmp/{n}', 'w').close()")
    watch.settle()
    created = [event.file.path for event in watch.changes(container) if event.change == "created"]
    assert created == [f"/tmp/{n}" for n in range(20000)]
    assert not any(isinstance(event, SightLost) for event in watch.events)


def test_a_loss_is_counted_exactly_and_made_good(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is let go past the bound is counted to the event; the scripts among it are found in the layers."""
    told_writes: list[Write] = []
    tell_batch = FileMarks._tell_batch

    def note_and_tell(marks: FileMarks, batch: Batch, queues: Queues, emit: Emit) -> None:
        told_writes.extend(batch.writes)  # one turn tells of as many batches as its time allows
        tell_batch(marks, batch, queues, emit)

    monkeypatch.setattr(FileMarks, "_tell_batch", note_and_tell)
    with watching(Bounds(opens=50, taken_opens=128, taken_names_bytes=8_192)) as watch:
        container = make(layers="tmpfs")
        watch.add(container)
        container.do("for n in range(3000):\n put(f'/tmp/{n}', '#!')")
        watch.settle()
        (loss,) = [event for event in watch.events if isinstance(event, SightLost)]
        told = [event for event in watch.changes(container) if event.change in ("created", "written")]
        names = [event for event in told if event.change == "created"]
        assert loss.lost is not None and 6_000 - loss.lost == len(names) + len(told_writes)
        assert {event.file.path for event in watch.changes(container)} == {f"/tmp/{n}" for n in range(3000)}
        assert watch.watched(container).since_ns >= loss.at_ns
        assert watch.tell(container, "put('/tmp/after')") == [("created", "/tmp/after")]
