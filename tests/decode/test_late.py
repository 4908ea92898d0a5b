"""passwd, status and mountinfo, parsed: hostile content gives facts or ValueError, and no third."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.accounts import User, parse_accounts
from outrider_sidecar.decode.mountinfo import Mount, parse_mounts
from outrider_sidecar.decode.status import Status, capability_names, parse_status

PASSWD = b"root:x:0:0:root:/root:/bin/bash\nbroken\n:x:5:5::/:/x\nbig:x:99999999999:1::/:/\ntwin:x:0:0::/:/\n"


def test_accounts_are_read_as_the_c_library_reads_them():
    """The first of an id counts; what is no entry is passed over; a name may hold any byte."""
    accounts = parse_accounts(PASSWD + b"a\xff:x:7:7:,,,:/h:/s", b"root:x:0:\nstaff:x:50:a,b\nbad:x:-1:\n")
    assert accounts.users == {0: User("root", "/root", "/bin/bash"), 7: User("a\\xff", "/h", "/s")}
    assert accounts.groups == {0: "root", 50: "staff"}


def test_our_own_status_tells_our_capabilities():
    """What the kernel writes is understood."""
    status = parse_status(Path("/proc/self/status").read_bytes())
    assert status.effective & ~status.permitted == 0
    assert status.pids


def test_a_status_without_capabilities_is_refused():
    """It is no status at all."""
    with pytest.raises(ValueError, match="capabilities"):
        parse_status(b"Name:\tx\n")


@pytest.mark.parametrize(("bits", "names"), [(0, ""), (1 << 21 | 1, "CAP_CHOWN CAP_SYS_ADMIN"), (1 << 60, "")])
def test_capabilities_are_named(bits, names):
    """In the order of their numbers; what has no name is left out."""
    assert capability_names(bits) == names


def test_a_bind_mount_is_told_from_a_whole_file_system():
    """By the path within the file system; octal escapes are undone."""
    raw = (
        b"36 35 98:0 /srv/my\\040data /mnt rw,noatime master:1 - ext3 /dev/root rw\n"
        b"37 35 0:5 / /proc rw - proc proc rw\n38 35 0:6 /kcore /proc/kcore ro - proc proc rw\n"
    )
    first, second, third = parse_mounts(raw)
    assert first == Mount("/srv/my data", "/mnt", "rw,noatime", "ext3", 36)
    assert [mount.is_bind for mount in (first, second, third)] == [True, False, False]


def test_our_own_mounts_are_understood():
    """What the kernel writes has a root."""
    assert any(mount.destination == "/" for mount in parse_mounts(Path("/proc/self/mountinfo").read_bytes()))


@given(raw=st.binary(max_size=80) | st.text("CapEff:NSpid\t\n0129af \\", max_size=60).map(str.encode))
def test_any_bytes_give_facts_or_a_value_error(raw):
    """There is no third way."""
    parse_accounts(raw, raw)
    with contextlib.suppress(ValueError):
        assert isinstance(parse_status(raw), Status)
    with contextlib.suppress(ValueError):
        assert isinstance(parse_mounts(raw), tuple)
