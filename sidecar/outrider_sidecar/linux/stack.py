"""The initial stack of a program, as the kernel lays it out at execve(2): decoded from bytes.

From the stack pointer upwards, in words of 8 bytes (fs/binfmt_elf.c, create_elf_tables):

    argc | argv[0..argc) NULL | envp[…] NULL | auxv pairs … AT_NULL | … | arguments | environment | execfn

The strings stand side by side, arguments first, in the order of their pointers. One read of memory at the exec
stop therefore gives arguments, environment, ids, AT_SECURE and the name that was asked for, before the program
can change any of it. argc may be 0; kernels since 5.18 then put one empty argument there.

This file is pure: bytes and their address in, facts out, ValueError where they are not such a stack. 32-bit
programs use words of 4 bytes and are not decoded here: their stack pointer is below 4 GiB (`is_64_bit`).
"""

from array import array
from typing import Final

from msgspec import Struct

AT_UID: Final = 11
AT_EUID: Final = 12
AT_GID: Final = 13
AT_EGID: Final = 14
AT_SECURE: Final = 23
AT_EXECFN: Final = 31

WORD_BYTES: Final = 8
MAX_AUXV_PAIRS: Final = 64
HEAD_BYTES: Final = 2048
"""Usually holds every pointer: making words of all the strings, too, would only empty the processor's cache."""
MAX_ARGV_BYTES: Final = 64 * 1024
"""Most text kept of one command line."""


class InitialStack(Struct, frozen=True, gc=False):
    """What a program was started with. Ids are -1 and texts empty where the auxiliary vector lacks them."""

    argv: list[bytes]
    environment: bytes
    execfn: bytes = b""
    uid: int = -1
    euid: int = -1
    gid: int = -1
    egid: int = -1
    secure: bool = False


def is_64_bit(stack_pointer: int) -> bool:
    """Whether a stack at this address belongs to a 64-bit program."""
    return stack_pointer >= 1 << 32


def decode_stack(data: bytes, base: int) -> InitialStack:
    """Decode memory that was read from `base`, the stack pointer at the exec stop, upwards.

    `environment` is the text of all variables, each closed by a NUL. Raises ValueError where the bytes are too
    few or are not an initial stack.
    """
    if len(data) > HEAD_BYTES:
        try:
            return _decode(data, base, HEAD_BYTES)
        except ValueError:
            pass  # more pointers than that, or no stack: the whole will tell
    return _decode(data, base, len(data) & ~(WORD_BYTES - 1))


def _decode(data: bytes, base: int, head_bytes: int) -> InitialStack:
    words = array("Q", data[:head_bytes])
    if not words:
        raise ValueError("no stack")
    argc = words[0]
    first_env = argc + 2
    if first_env >= len(words) or words[first_env - 1]:
        raise ValueError("argument pointers do not end where argc says")
    end_env = words.index(0, first_env)
    vector = _auxiliary(words, end_env + 1)

    execfn_at = vector.get(AT_EXECFN, 0) - base
    env_at = words[first_env] - base if end_env > first_env else execfn_at
    argv_at = words[1] - base if argc else env_at
    if not 0 <= argv_at <= env_at <= execfn_at < len(data):
        raise ValueError("strings lie outside of what was read")
    end = data.find(b"\0", execfn_at)
    if end < 0:
        raise ValueError("file name is cut off")
    return InitialStack(
        argv=data[argv_at : min(env_at, argv_at + MAX_ARGV_BYTES)].split(b"\0", argc)[:argc],
        environment=data[env_at:execfn_at],
        execfn=data[execfn_at:end],
        uid=vector.get(AT_UID, -1),
        euid=vector.get(AT_EUID, -1),
        gid=vector.get(AT_GID, -1),
        egid=vector.get(AT_EGID, -1),
        secure=bool(vector.get(AT_SECURE, 0)),
    )


def _auxiliary(words: "array[int]", start: int) -> dict[int, int]:
    """Slices and not a loop: this is the longest thing decoded while a program waits."""
    keys = words[start : start + 2 * MAX_AUXV_PAIRS : 2]
    count = keys.index(0)  # AT_NULL; ValueError without it
    return dict(zip(keys[:count], words[start + 1 : start + 2 * count : 2], strict=True))
