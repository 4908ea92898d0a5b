"""Which environment variables are worth knowing, and nothing of the rest.

Kept are those that tell the dynamic linker or a shell to load something, and those that send traffic elsewhere.
An environment is where secrets live: a variable that is not named here never leaves the tracer. User names and
passwords within a proxy's address are taken out, too.
"""

import re
from typing import Final

from outrider_wire.text import clean_text

KEPT_VARIABLES: Final = frozenset(
    {
        b"LD_PRELOAD",
        b"LD_LIBRARY_PATH",
        b"LD_AUDIT",
        b"LD_BIND_NOT",
        b"LD_DEBUG_OUTPUT",
        b"LD_ORIGIN_PATH",
        b"GCONV_PATH",
        b"GLIBC_TUNABLES",
        b"BASH_ENV",
        b"ENV",
        b"PROMPT_COMMAND",
        b"PYTHONSTARTUP",
        b"PYTHONPATH",
        b"PERL5LIB",
        b"PERL5OPT",
        b"RUBYOPT",
        b"NODE_OPTIONS",
        b"JAVA_TOOL_OPTIONS",
        b"HISTFILE",
        b"HTTP_PROXY",
        b"HTTPS_PROXY",
        b"ALL_PROXY",
        b"FTP_PROXY",
        b"NO_PROXY",
        b"http_proxy",
        b"https_proxy",
        b"all_proxy",
        b"ftp_proxy",
        b"no_proxy",
    }
)
MAX_VALUE: Final = 1024

_STARTS: Final = frozenset(name[:3] for name in KEPT_VARIABLES)
_CREDENTIALS: Final = re.compile(r"(//)[^/\s]*@")


def kept_environment(block: bytes) -> dict[str, str]:
    """The kept variables of an environment, given as NUL-closed `NAME=value` texts; the first of a name counts."""
    kept: dict[str, str] = {}
    for entry in block.split(b"\0"):
        if entry[:3] in _STARTS:
            name, equals, value = entry.partition(b"=")
            if equals and name in KEPT_VARIABLES:
                kept.setdefault(name.decode("ascii"), _clean_value(name, value))
    return kept


def _clean_value(name: bytes, value: bytes) -> str:
    text = clean_text(value, limit=MAX_VALUE)
    return _CREDENTIALS.sub(r"\1***@", text) if name.lower().endswith(b"_proxy") else text
