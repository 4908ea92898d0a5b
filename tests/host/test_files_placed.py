"""Whose a change of a file is: of containers on one file system, volumes, layers that are not to be seen."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from overlays import Overlay, Watch

from outrider_sidecar.sensors.host import marking
from outrider_sidecar.sensors.host.marking import Marker
from outrider_wire.events import ProcessId

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="fanotify marks of file systems need root")

Make = Callable[..., Overlay]


def test_containers_that_share_one_file_system_are_told_apart(make: Make, watch: Watch) -> None:
    """Each change is told of the container that it was made in, and of no other."""
    containers = [make() for _ in range(3)]
    for container in containers:
        watch.add(container)
    for number, container in enumerate(containers):
        assert watch.tell(container, f"put('/tmp/{number}')") == [("created", f"/tmp/{number}")]
    assert [len(watch.changes(container)) for container in containers] == [1, 1, 1]


def test_a_volume_is_told_in_every_container_that_shows_it(make: Make, watch: Watch, tmp_path: Path) -> None:
    """By each one's own path; the actor is who did it, wherever he lives."""
    volume = tmp_path / "volume"
    (volume / "below").mkdir(parents=True)
    one, other = make(volume), make(tmp_path, volume)
    watch.add(one)
    watch.add(other)
    assert watch.tell(one, "put('/data/0/below/f')") == [("created", "/data/0/below/f")]
    seen = [(e.change, e.file.path, e.actor) for e in watch.changes(other) if e.file.path.endswith("/f")]
    assert ("created", "/data/1/below/f", ProcessId(one.pid, 1)) in seen


def test_what_no_volume_shows_is_nobodys(make: Make, watch: Watch, tmp_path: Path) -> None:
    """Two volumes of one file system, of which neither shows the other: what lies beside them is told of nobody."""
    for name in ("one/below", "two/below", "beside"):
        (tmp_path / name).mkdir(parents=True)
    container = make(tmp_path / "one", tmp_path / "two", layers="tmpfs")
    watch.add(container)
    (tmp_path / "beside" / "of-the-machine").touch()
    (tmp_path / "of-the-machine").touch()
    told = watch.tell(container, "put('/data/0/below/f'); put('/data/1/below/g')")
    assert told == [("created", "/data/0/below/f"), ("created", "/data/1/below/g")]


@pytest.mark.parametrize("layers", ["plain", "tmpfs"])
def test_without_a_mount_that_shows_all_of_a_file_system_every_way_is_tried(
    make: Make, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layers: str
) -> None:
    """As where the machine's own mounts are not to be seen: each place is known by the mount that shows it."""
    monkeypatch.setattr(Marker, "_find_whole", lambda *_: None)
    for name in ("one/below", "two/below", "beside"):
        (tmp_path / name).mkdir(parents=True)
    containers = [make(tmp_path / "one", tmp_path / "two", layers=layers) for _ in range(2)]
    for container in containers:
        watch.add(container)
    (tmp_path / "beside" / "of-the-machine").touch()
    told = watch.tell(containers[0], "put('/data/0/below/f'); put('/data/1/below/g'); put('/usr/bin/h')")
    assert sorted(told) == [("created", f"/{name}") for name in ("data/0/below/f", "data/1/below/g", "usr/bin/h")]
    assert [path for _, path in watch.tell(containers[1], "os.chmod('/opt', 0o700)") if "data" not in path] == ["/opt"]


@pytest.mark.parametrize("ends", ["before", "meanwhile", "above"])
def test_a_container_is_marked_though_who_leads_there_ends(
    make: Make, watch: Watch, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """The process by which it was met may end before its marks are set, or meanwhile, or the one above that shows its
    layers."""
    container = make(lower=Path("/"))
    first = container.pid
    container.do("child = subprocess.Popen(['/bin/sleep', '100'])", "put('/tmp/pid', str(child.pid))")
    child = int(Path(f"/proc/{first}/root/tmp/pid").read_text())
    find_layers, ended = marking.find_layers, list[str]()

    def end() -> None:
        ended.append(ends)
        container.do("child.kill(); child.wait()")

    def find_and_end(*given: Any, **named: Any) -> Any:
        found = find_layers(*given, **named)
        if ended:
            return found
        end()
        return found._replace(root=f"/proc/{child}/root") if ends == "above" else found

    monkeypatch.setattr(marking, "find_layers", find_and_end)
    if ends == "before":
        end()
    container.pid = first if ends == "above" else child
    watch.add(container)
    assert ended
    assert (watch.watched(container).sensor, watch.watched(container).reason) == ("fanotify", "")
    assert watch.tell(container, "put('/tmp/new')") == [("created", "/tmp/new")]


def test_own_tmpfs_mounts_are_watched(make: Make, watch: Watch) -> None:
    """/dev/shm by name and by content; /dev by name, and writing to /dev/null is nobody's business."""
    container = make()
    watch.add(container)
    assert watch.tell(container, "os.makedirs('/dev/shm/a/b'); put('/dev/shm/a/b/c')") == [
        ("created", "/dev/shm/a"), ("created", "/dev/shm/a/b"), ("created", "/dev/shm/a/b/c"),
    ]  # fmt: skip
    assert watch.tell(container, "put('/dev/null'); put('/dev/x')") == [("created", "/dev/x")]


def test_layers_that_nobody_shows_are_left_to_inotify(make: Make, watch: Watch) -> None:
    """Where the mounter's namespace cannot be had any more it is said so, and reads and execs are seen all the same."""
    container = make(layers="tmpfs")
    container.process.kill()  # the mounter; what it mounted for the container stays
    container.process.wait()
    watch.add(container)
    told = watch.watched(container)
    assert told.sensor == "" and "upper directory" in told.reason, told
    container.do("put('/tmp/unseen'); open('/etc/shadow').read()")
    watch.settle()
    assert [(e.change, e.file.path) for e in watch.changes(container)] == [("opened", "/etc/shadow")]


def test_a_container_that_ends_takes_everything_along(make: Make, watch: Watch, tmp_path: Path) -> None:
    """Its mounts go at once, nothing of it is held, and others on its file system are told of as before."""
    container, other = make(), make()
    watch.add(container)
    watch.add(other)
    container.do("put('/tmp/last')")
    container.stop()
    watch.settle()
    watch.marks.remove_container(container.mnt_ns)
    shutil.rmtree(tmp_path / "c0")
    assert watch.tell(other, "put('/tmp/still')") == [("created", "/tmp/still")]
    assert ("created", "/tmp/last") in [(e.change, e.file.path) for e in watch.changes(container)]
    assert not any(stat.S_ISDIR(os.stat(f"/proc/self/fd/{fd}").st_mode) for fd in _open_fds())


def _open_fds() -> list[int]:
    here = str(Path(__file__).parent)
    links = {int(fd): os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd)}
    return [fd for fd, link in links.items() if "/merged" in link or "/upper" in link or link == here]


def _is_open(fd: str) -> bool:
    return Path(f"/proc/self/fd/{fd}").exists()
