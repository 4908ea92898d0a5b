"""Opening files inside another root: with openat2 and without, no link leads out."""

import errno
import os
import stat
import subprocess

import pytest

from outrider_sidecar.linux import rooted
from outrider_sidecar.linux.rooted import look, open_beneath, opened_root, resolve
from outrider_wire.errors import ProcessGone


@pytest.fixture(params=[True, False], ids=["openat2", "step by step"])
def root(request, tmp_path, monkeypatch):
    """A small tree with links of every sort, open as a root."""
    monkeypatch.setattr(rooted._Openat2, "works", request.param)
    base = tmp_path / "root"
    (base / "usr/bin").mkdir(parents=True)
    (base / "usr/bin/tool").write_text("#!/bin/sh\n")
    (base / "bin").symlink_to("usr/bin")
    (base / "absolute").symlink_to("/usr/bin")
    (base / "up").symlink_to("../../../usr/bin")
    (base / "out").symlink_to(tmp_path / "outside")
    (base / "loop").symlink_to("loop")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("x")
    os.mkfifo(base / "fifo")
    fd = os.open(base, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("path", "real"),
    [
        (b"/usr/bin", b"/usr/bin"),
        (b"/bin", b"/usr/bin"),
        (b"/absolute", b"/usr/bin"),
        (b"/up/tool", b"/usr/bin/tool"),
        (b"/missing/x", b"/missing/x"),
        (b"//usr/./bin/../bin", b"/usr/bin"),
        (b"/", b"/"),
    ],
)
def test_links_are_resolved_inside_the_root(root, path, real):
    """Relative, absolute and climbing links all end below the root."""
    assert resolve(root, path) == real


def test_a_loop_of_links_is_refused(root):
    """ELOOP, as path_resolution(7) has it."""
    with pytest.raises(OSError, match="Too many") as caught:
        resolve(root, b"/loop")
    assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("path", [b"/out/secret", b"/bin/tool", b"/absolute/tool"])
def test_no_link_is_followed_on_the_way(root, path):
    """A path with a link in it is refused, wherever the link leads."""
    with pytest.raises(OSError, match=r"links|directory"):
        open_beneath(root, path, os.O_PATH)


def test_the_last_component_is_looked_at_itself(root):
    """A link is a link, a file is read, and a fifo is not opened."""
    assert stat.S_ISLNK(look(root, b"/out", head_bytes=8)[0].st_mode)
    assert look(root, b"/usr/bin/tool", head_bytes=8)[1] == b"#!/bin/s"
    assert look(root, b"/fifo", head_bytes=8)[1] == b""
    assert stat.S_ISDIR(look(root, b"/")[0].st_mode)


def test_a_path_that_climbs_stays_inside_or_is_refused(root):
    """`..` never names what is above the root."""
    try:
        status, _ = look(root, b"/../outside/secret")
    except OSError:
        return
    assert status.st_ino == os.fstat(root).st_ino


def test_a_process_of_another_namespace_is_refused():
    """A pid that was used again elsewhere does not lead to a wrong root, and an ended one to none."""
    with pytest.raises(ProcessGone, match="namespace"), opened_root(os.getpid(), 1):
        pass
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(ProcessGone), opened_root(child.pid, 0):
        pass


def test_a_path_is_statted_as_its_container_names_it(root, tmp_path):
    """Links of every sort lead to the container's own files, and those that would lead out lead nowhere."""
    base = str(tmp_path / "root")
    wanted = os.stat(f"{base}/usr/bin/tool").st_ino
    for name in (b"/bin/tool", b"/absolute/tool", b"/up/tool", b"/usr/bin/tool"):
        assert rooted.stat_in_root(base, name).st_ino == wanted
    for name in (b"/out/secret", b"/loop", b"/no/such"):
        with pytest.raises(OSError):
            rooted.stat_in_root(base, name)
