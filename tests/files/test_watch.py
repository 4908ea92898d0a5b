"""The file watch, on a real overlay in a mount namespace of its own, through /proc/PID/root."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from outrider_sidecar.sensors.files import probe_inotify


def test_a_file_made_in_a_container_is_told_of_with_its_path_there_and_its_kind(guarded):
    """A copied program, a script and a text are told of as elf, script and other, by their paths inside."""
    container, seen = guarded
    shutil.copy("/bin/true", container.path("/tmp/program"))
    container.path("/usr/bin/script").write_text("#!/bin/sh\n")
    container.path("/etc/cron.d/job").write_text("* * * * * root true\n")
    seen.catch_up()
    paths = ("/tmp/program", "/usr/bin/script", "/etc/cron.d/job")
    kinds = {path: [event.kind for event in seen.of(path) if event.kind][-1] for path in paths}
    assert kinds == {"/tmp/program": "elf", "/usr/bin/script": "script", "/etc/cron.d/job": "other"}
    event = seen.of("/tmp/program")[0]
    status = os.stat(container.path("/tmp/program"))
    assert (event.file.ino, event.file.dev, event.mnt_ns) == (status.st_ino, status.st_dev, container.mnt_ns)
    assert (event.actor, event.attribution) == (None, "unknown")


def test_each_sort_of_change_has_its_name(guarded):
    """Creation, writing, hard link, rename, attributes and deletion are told apart."""
    container, seen = guarded
    one, two, three = (container.path(f"/tmp/{name}") for name in ("one", "two", "three"))
    one.write_text("a")
    seen.catch_up()
    one.write_text("b")
    seen.catch_up()
    os.link(one, two)
    seen.catch_up()
    two.rename(three)
    seen.catch_up()
    one.chmod(0o700)
    seen.catch_up()
    one.unlink()
    seen.catch_up()
    assert seen.said("/tmp/two") == ["linked", "moved_out"]
    assert seen.said("/tmp/three") == ["moved_in"]
    ordered = list(dict.fromkeys(seen.said("/tmp/one")))
    assert ordered == ["created", "written", "attributes", "deleted"]


def test_a_place_that_is_a_link_is_watched_once_and_inside_the_root(guarded):
    """/bin -> usr/bin and /lib -> /usr/lib (absolute) lead to the container's directories, each watched once."""
    container, seen = guarded
    container.path("/usr/bin/new").write_text("x")
    container.path("/usr/lib/new.so").write_text("x")
    seen.catch_up()
    assert seen.said("/usr/bin/new").count("created") == 1
    assert seen.said("/usr/lib/new.so").count("created") == 1
    assert not seen.of("/bin/new")


def test_a_link_out_of_the_root_does_not_lead_the_watch_out(container, watch, tmp_path):
    """A link in a guarded place to a directory that only the outside has is not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    container.path("/opt").symlink_to(outside)
    container.path("/tmp/door").symlink_to(outside)
    seen = watch()
    seen.sensor.add_root(container.mnt_ns, container.pid)
    seen.settle()
    (outside / "secret").write_text("x")
    container.path("/tmp/marker").write_text("x")
    seen.catch_up()
    assert seen.of("/tmp/marker")
    assert not [event for event in seen.changes if "secret" in event.file.path]


def test_directories_made_at_once_with_a_file_in_the_deepest_are_all_told_of_once(guarded):
    """mkdir -p a/b/c and a file in it: nothing is missed however the watch and the program race."""
    container, seen = guarded
    for count in range(50):
        deep = container.path(f"/tmp/d{count}/a/b/c")
        deep.mkdir(parents=True)
        shutil.copy("/bin/true", deep / "program")
    seen.catch_up()
    for count in range(50):
        assert seen.said(f"/tmp/d{count}/a/b/c/program")[0] == "created"
        assert "elf" in [event.kind for event in seen.of(f"/tmp/d{count}/a/b/c/program")]
        assert seen.said(f"/tmp/d{count}/a/b/c").count("created") == 1


def test_a_directory_that_appears_outside_of_every_place_is_watched(guarded):
    """/evil/x is seen: the root directory's own entries are watched, and new directories whole."""
    container, seen = guarded
    container.path("/evil/deeper").mkdir(parents=True)
    seen.catch_up()
    container.path("/evil/deeper/x").write_text("#!/bin/sh\n")
    assert seen.wait_for("/evil/deeper/x", "created")


def test_a_renamed_directory_keeps_being_watched_under_its_new_name(guarded):
    """Files made in a renamed directory, and below it, are told of by the new path."""
    container, seen = guarded
    container.path("/tmp/old/below").mkdir(parents=True)
    seen.catch_up()
    container.path("/tmp/old").rename(container.path("/tmp/new"))
    seen.catch_up()
    container.path("/tmp/new/below/file").write_text("x")
    seen.catch_up()
    assert set(seen.said("/tmp/new/below/file")) <= {"created", "written"}
    assert seen.of("/tmp/new/below/file")
    assert not seen.of("/tmp/old/below/file")


def test_a_lower_directory_renamed_by_copying_is_watched(guarded):
    """mv of an image's directory is a copy on overlayfs; the copy is watched and told of."""
    container, seen = guarded
    shutil.move(container.path("/home/me"), container.path("/home/you"))
    seen.catch_up()
    container.path("/home/you/file").write_text("x")
    assert seen.wait_for("/home/you/file", "created")


def test_a_directory_moved_to_where_nothing_is_watched_is_let_go(guarded):
    """Its watches are taken away, so nothing is told of it by a path that is wrong."""
    container, seen = guarded
    container.path("/tmp/leaving/below").mkdir(parents=True)
    container.path("/proc/unwatched").mkdir()
    seen.catch_up()
    before = seen.sensor.directories
    container.path("/tmp/leaving").rename(container.path("/proc/unwatched/gone"))
    deadline = time.monotonic() + 10
    while seen.sensor.directories != before - 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    container.path("/proc/unwatched/gone/below/file").write_text("x")
    seen.catch_up()
    assert not [event for event in seen.changes if event.file.path.endswith("below/file")]


def test_a_restart_takes_the_watches_away_and_asks_for_the_container_anew(guarded):
    """When the overlay goes, on_unmount is called once; added again, the upper layer's files are still judged."""
    container, seen = guarded
    baseline_ns, old_ns = time.time_ns(), container.mnt_ns
    shutil.copy("/bin/true", container.path("/usr/bin/dropped"))
    seen.catch_up()
    container.stop()
    deadline = time.monotonic() + 10
    while not seen.unmounted:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert seen.unmounted == [old_ns]
    assert seen.sensor.directories == 0
    container.start()
    seen.events.clear()
    seen.sensor.add_root(container.mnt_ns, container.pid, baseline_ns=baseline_ns - 50_000_000)
    seen.settle()
    assert seen.said("/usr/bin/dropped") == ["found"]
    container.path("/tmp/after").write_text("x")
    assert seen.wait_for("/tmp/after", "created").mnt_ns == container.mnt_ns


def test_nothing_is_held_open_in_the_guarded_root(guarded):
    """After its turn the sensor has no descriptor into the container, so its file system can go."""
    container, seen = guarded
    container.path("/tmp/x").write_text("x")
    seen.catch_up()
    root_dev = os.stat(f"/proc/{container.pid}/root").st_dev
    held = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            held.append(os.stat(f"/proc/self/fd/{fd}").st_dev == root_dev)
        except OSError:
            continue
    assert held and not any(held)


def test_the_anchor_may_end(container, watch):
    """When the anchor is gone, another process of the container leads to its root."""
    child = subprocess.Popen(["true"])
    child.wait()
    seen = watch(pids_of=lambda _: [container.pid])
    seen.sensor.add_root(container.mnt_ns, child.pid)
    seen.settle()
    container.path("/tmp/x").write_text("#!/bin/sh\n")
    seen.wait_for("/tmp/x", "created")
    seen.catch_up()
    assert seen.of("/tmp/x")[-1].kind == "script"


def test_fifos_and_sockets_are_told_of_and_never_opened(guarded):
    """A writer that waits at a fifo goes on waiting: the watch does not open it."""
    container, seen = guarded
    os.mkfifo(container.path("/tmp/fifo"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(container.path("/tmp/socket")))
        writer = subprocess.Popen(["sh", "-c", f"echo x > {container.path('/tmp/fifo')}"])
        try:
            container.path("/tmp/last").write_text("x")
            container.path("/tmp/fifo").chmod(0o600)
            seen.wait_for("/tmp/last", "created")
            seen.catch_up()
            assert seen.of("/tmp/fifo")[0].kind == "other"
            assert seen.of("/tmp/socket")[0].kind == "other"
            assert writer.poll() is None
        finally:
            writer.kill()
            writer.wait()


def test_names_of_any_byte_are_told_of(guarded):
    """Newlines, escape characters and bytes that are not UTF-8 come through decoded once."""
    container, seen = guarded
    names = [b"new\nline", b"\x1b[31mred", b"\xff\xfe", b" (deleted)", b"%s%n", b"\xf0\x9f\x90\x9a", b"n" * 255]
    root = os.fsencode(container.path("/tmp"))
    for name in names:
        os.mkdir(root + b"/" + name)  # noqa: PTH102 - a name of bytes
        with open(root + b"/" + name + b"/file", "wb") as file:
            file.write(b"\x7fELF")
    seen.catch_up()
    for name in names:
        text = "/tmp/" + name.decode("utf-8", "backslashreplace") + "/file"
        assert seen.of(text)[-1].kind == "elf"


def test_a_removed_container_is_not_watched(guarded):
    """After remove_root nothing more is told of it, and no watch is left."""
    container, seen = guarded
    seen.sensor.remove_root(container.mnt_ns)
    seen.settle()
    container.path("/tmp/x").write_text("x")
    seen.catch_up()
    assert not seen.of("/tmp/x")
    assert seen.sensor.directories == 0


def test_two_containers_that_share_a_directory_are_both_told(tmp_path, build, watch):
    """A watch stands for an inode: a change in a shared volume is told of in each container, also when one ends."""
    shared = tmp_path / "shared"
    shared.mkdir()
    one, two = build(shared), build(shared)
    seen = watch()
    for container in (one, two):
        seen.sensor.add_root(container.mnt_ns, container.pid)
    seen.settle()
    (shared / "x").write_text("x")
    seen.catch_up()
    assert {event.mnt_ns for event in seen.of("/home/me/x")} == {one.mnt_ns, two.mnt_ns}
    seen.sensor.remove_root(one.mnt_ns)
    seen.settle()
    (shared / "y").write_text("y")
    seen.catch_up()
    assert {event.mnt_ns for event in seen.of("/home/me/y")} == {two.mnt_ns}


def test_reading_leaves_no_trace_in_the_file(guarded):
    """The access time of a file that was looked at stays as it was."""
    container, seen = guarded
    path = container.path("/tmp/looked-at")
    path.write_text("#!/bin/sh\n")
    os.utime(path, ns=(1_000_000_000, 1_000_000_000))
    seen.catch_up()
    path.chmod(0o755)
    path.rename(container.path("/tmp/renamed"))
    seen.wait_for("/tmp/renamed", "moved_in")
    assert os.stat(container.path("/tmp/renamed")).st_atime_ns == 1_000_000_000


def test_the_probe_tells_of_what_it_did():
    """Where inotify works the probe says so, by having used it."""
    assert probe_inotify().available


def test_the_programs_own_directory_is_watched(container, watch):
    """An extra place anywhere is watched, also below a directory that is not."""
    container.path("/data/service/bin").mkdir(parents=True)
    seen = watch()
    seen.sensor.add_root(container.mnt_ns, container.pid, ("/data/service/bin", "/"))
    seen.settle()
    Path(container.path("/data/service/bin/x")).write_text("x")
    assert seen.wait_for("/data/service/bin/x", "created")


def test_what_happened_before_is_told_once_the_watch_has_caught_up(guarded):
    """caught_up is no guess: whenever it says yes, the file made just before has been told of."""
    container, seen = guarded
    for count in range(200):
        container.path(f"/tmp/c{count}").touch()
        seen.catch_up()
        assert seen.of(f"/tmp/c{count}")


def test_without_the_right_to_see_it_is_told_of(container, tmp_path):
    """Another user without SYS_PTRACE is told why the container cannot be watched, and what would allow it."""
    code = f"""
import os, threading
os.setgid(65534); os.setuid(65534)
from outrider_sidecar.sensors.files import FileSensor
sensor, seen, stop = FileSensor(), [], threading.Event()
thread = threading.Thread(target=sensor.run, args=(seen.append, stop))
thread.start()
sensor.add_root({container.mnt_ns}, {container.pid})
while not seen:
    pass
stop.set()
thread.join()
print(seen[0].reason)
"""
    code = "import outrider_sidecar.sensors.files\n" + code  # read while it may still be read
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "CAP_SYS_PTRACE" in result.stdout, result.stderr
