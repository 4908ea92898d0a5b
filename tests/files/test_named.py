"""What a guarded process means by a name: descriptors, other roots and links, looked up for it and not for us."""

import os

import pytest

from outrider_sidecar.linux.named import is_link, linked_files, named_file

PROC = "/proc"


def _named(container, path: str):
    return named_file(PROC, container.pid, os.fsencode(path))


@pytest.fixture
def memfd(container) -> int:
    """A memfd that the container's process has as descriptor 70."""
    container.do("fd = os.memfd_create('payload'); os.write(fd, b'echo hi'); os.dup2(fd, 70)")
    return 70


@pytest.mark.parametrize(
    "name",
    [
        "/proc/self/fd/{fd}",
        "/proc/thread-self/fd/{fd}",
        "/proc/{pid}/fd/{fd}",
        "/proc/{pid}/task/{pid}/fd/{fd}",
        "//proc/./self//fd/{fd}",
        "/dev/fd/{fd}",
        "/proc/{pid}/root/proc/self/fd/{fd}",
        "/tmp/link",
        "/tmp/relative",
    ],
)
def test_every_name_of_a_descriptor_leads_to_its_file(container, memfd, name):
    """The kernel's names, the customary ones, and links that the process made to them."""
    container.do("check(libc.mount(b'proc', b'/proc', b'proc', ctypes.c_ulong(0), None))")
    container.do("os.symlink('/proc/self/fd', '/dev/fd')")
    container.do("os.symlink('/proc/self/fd/70', '/tmp/link'); os.symlink('../dev/fd/70', '/tmp/relative')")
    facts = _named(container, name.format(fd=memfd, pid=container.pid))
    assert facts is not None
    assert (facts.path, facts.nlink, facts.size) == ("/memfd:payload (deleted)", 0, 7)


def test_a_deleted_file_is_known_by_its_descriptor(container):
    """It is called as it was, and has no name left."""
    container.do("open('/tmp/gone.sh', 'w').write('x'); os.dup2(os.open('/tmp/gone.sh', 0), 70)")
    container.do("os.unlink('/tmp/gone.sh')")
    facts = _named(container, "/dev/fd/70")
    assert facts is not None
    assert (facts.path, facts.nlink) == ("/tmp/gone.sh (deleted)", 0)


@pytest.mark.parametrize("opening", ["os.pipe()[0]", "os.open('/tmp', 0)", "os.eventfd(0)"])
def test_a_descriptor_that_is_no_file_brings_none(container, opening):
    """Code that comes through a pipe is no script to be judged."""
    container.do(f"os.dup2({opening}, 70)")
    assert _named(container, "/dev/fd/70") is None


def test_standard_input_that_is_a_pipe_brings_none(container):
    """`/dev/stdin` is descriptor 0 of the process, here a pipe from the test."""
    assert _named(container, "/dev/stdin") is None


@pytest.mark.parametrize("name", ["sh-thd.x8SaQW", "sh-thd-1700000000", "zshAb3dE9"])
def test_a_here_document_brings_none(container, name):
    """A shell deletes the file before it is read: it is text of the command line."""
    container.do(f"open('/tmp/{name}', 'w').write('x'); os.dup2(os.open('/tmp/{name}', 0), 70)")
    assert _named(container, "/dev/fd/70") is not None
    container.do(f"os.unlink('/tmp/{name}')")
    assert _named(container, "/dev/fd/70") is None


def test_a_path_through_a_link_is_told_without_it(container):
    """/bin is a link to usr/bin: file watch and drift record know the one real name."""
    facts = _named(container, "/bin/tool")
    assert facts is not None
    assert facts.path == "/usr/bin/tool"
    assert facts.ino == os.stat(container.path("/usr/bin/tool")).st_ino


@pytest.mark.parametrize("typed", ["/usr/bin/tool", "/usr/bin/./tool", "/usr/lib/../bin//tool"])
def test_a_path_without_links_is_told_plainly(container, typed):
    """Dots and doubled slashes are left out."""
    facts = _named(container, typed)
    assert facts is not None
    assert facts.path == "/usr/bin/tool"


def test_a_file_below_another_root_is_found(build):
    """`/proc/PID/root/…` is a file of another container."""
    one, other = build(), build()
    other.do("open('/tmp/x.sh', 'w').write('echo hi')")
    facts = named_file(PROC, one.pid, b"/proc/%d/root/tmp/x.sh" % other.pid)
    assert facts is not None
    assert (facts.path, facts.size) == ("/tmp/x.sh", 7)
    assert facts.ino == os.stat(other.path("/tmp/x.sh")).st_ino


def test_a_link_below_another_root_stays_there(build):
    """An absolute link is followed in the root it lies in, never in ours."""
    one, other = build(), build()
    other.do("open('/tmp/passwd', 'w').write('12345'); os.symlink('/tmp/passwd', '/etc/passwd')")
    facts = named_file(PROC, one.pid, b"/proc/%d/root/etc/passwd" % other.pid)
    assert facts is not None
    assert (facts.path, facts.size) == ("/tmp/passwd", 5)


def test_the_working_directory_of_a_process_is_followed(container):
    """`/proc/PID/cwd/x` is below where that process works."""
    container.do("os.chdir('/usr/bin')")
    facts = _named(container, "/proc/self/cwd/tool")
    assert facts is not None
    assert facts.path == "/usr/bin/tool"


@pytest.mark.parametrize("path", ["/proc/self/fd/99", "/missing", "/tmp/loop", "/proc/4194305/fd/1", "/proc/self/x"])
def test_what_is_not_there_raises(container, path):
    """No descriptor, no file, a ring of links, no process: OSError, and nothing is made up."""
    container.do("os.symlink('loop', '/tmp/loop')")
    with pytest.raises(OSError, match=r"\S"):
        _named(container, path)


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("/proc/self/fd/3", True),
        ("/dev/stdin", True),
        ("/dev/fd/12", True),
        ("/proc/7/exe", True),
        ("/proc/self/root/tmp/x", True),
        ("/proc/self/fd", False),
        ("/tmp/proc/self/fd/3", False),
        ("/dev/null", False),
    ],
)
def test_names_through_procfs_are_told_from_others(path, is_one):
    """By their form alone."""
    assert is_link(path) is is_one


def test_libraries_that_are_named_through_procfs_are_found(container, memfd):
    """LD_PRELOAD may name a descriptor or a root; plain paths and what is not there are left out."""
    container.do("open('/tmp/x.so', 'w').write('12345')")
    names = ["/dev/fd/70", "/proc/self/root/tmp/x.so", "/tmp/x.so", "/proc/self/fd/99", "libz.so"]
    found = linked_files(PROC, container.pid, names)
    assert [(file.path, file.size) for file in found] == [("/memfd:payload (deleted)", 7), ("/tmp/x.so", 5)]
