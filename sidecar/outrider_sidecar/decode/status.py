"""What proc_pid_status(5) says: ids at an exec, and what rules ask for late: capabilities, pids in each namespace.

Pure, bytes in, facts out.
"""

from typing import Final

from msgspec import Struct

CAPABILITIES: Final = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
    *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
    "CHECKPOINT_RESTORE",
)
"""Names of capabilities(7) by number."""
PRIVILEGED: Final = (1 << 21) | (1 << 12) | (1 << 16) | (1 << 17)
"""SYS_ADMIN, NET_ADMIN, SYS_MODULE, SYS_RAWIO: what `--privileged` gives and no container has without being asked."""

_ID_LIMIT: Final = 1 << 32
_KEYS: Final = (b"CapInh", b"CapPrm", b"CapEff", b"CapBnd", b"NSpid", b"NSpgid")


class Status(Struct, frozen=True, gc=False):
    """Sets of capabilities as bits; `pids` and `pgids` from the reader's namespace inwards."""

    inheritable: int = 0
    permitted: int = 0
    effective: int = 0
    bounding: int = 0
    pids: tuple[int, ...] = ()
    pgids: tuple[int, ...] = ()


def parse_status(raw: bytes) -> Status:
    """The content of a status file. Raises ValueError for anything else."""
    found: dict[bytes, bytes] = {}
    for line in raw.splitlines():
        key, colon, value = line.partition(b":")
        if colon and key in _KEYS:
            found.setdefault(key, value.strip())
    if b"CapEff" not in found:
        raise ValueError("no capabilities in status")
    sets = [_bits(found.get(key, b"0")) for key in _KEYS[:4]]
    return Status(sets[0], sets[1], sets[2], sets[3], _numbers(found, b"NSpid"), _numbers(found, b"NSpgid"))


def parse_ids(status: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """Real and effective uid, and gid, of a proc_pid_status(5) text. Raises ValueError."""
    found: dict[bytes, tuple[int, int]] = {}
    for line in status.splitlines():
        if line.startswith((b"Uid:", b"Gid:")):
            words = line[4:].split()
            if len(words) < 2 or not all(word.isdigit() and int(word) < _ID_LIMIT for word in words[:2]):
                raise ValueError("ids are not numbers")
            found.setdefault(line[:3], (int(words[0]), int(words[1])))
    if len(found) != 2:
        raise ValueError("no ids in status")
    return found[b"Uid"], found[b"Gid"]


def capability_names(bits: int) -> str:
    """A set as Falco prints it: `CAP_CHOWN CAP_KILL`, by number; what has no name is left out."""
    return " ".join([f"CAP_{name}" for number, name in enumerate(CAPABILITIES) if bits >> number & 1])


def _bits(text: bytes) -> int:
    if not 0 < len(text) <= 16 or not text.isalnum():
        raise ValueError("a set of capabilities is no number")
    return int(text, 16)


def _numbers(found: dict[bytes, bytes], key: bytes) -> tuple[int, ...]:
    words = found.get(key, b"").split()
    if len(words) > 33 or not all(word.isdigit() and len(word) <= 10 for word in words):
        raise ValueError("pids are not numbers")
    return tuple([int(word) for word in words])
