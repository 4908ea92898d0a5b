"""What is a shell, and does it read its commands from standard input?

A name proves little: an intruder copies bash to another name. So a program counts as a shell by the name of its
file, by the applet that a multi-call binary was asked for, or by the build id of its ELF file being that of one of
the container's own shells.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from outrider_sidecar.decode.script import asked_to_run, is_linker
from outrider_sidecar.world.tree import Process

# fmt: off
SHELL_NAMES: Final = frozenset((
    "sh", "bash", "rbash", "dash", "ash", "hush", "zsh", "ksh", "ksh93", "mksh", "lksh", "pdksh", "oksh",
    "yash", "posh", "fish", "csh", "tcsh", "rc", "es", "elvish", "nu", "xonsh", "pwsh",
))
# fmt: on
MULTI_CALL: Final = frozenset(("busybox", "toybox", "bash-static", "busybox-static"))
SHELL_PLACES: Final = tuple(
    f"{directory}/{name}"
    for directory in ("/bin", "/usr/bin", "/usr/local/bin")
    for name in ("sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "tcsh", "busybox")
)
"""Where a container's own shells are looked for, to know their build ids."""
MAX_BUILD_IDS: Final = 4_096

STANDARD_INPUT: Final = frozenset(("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"))
"""Names of standard input that a shell may be given as its script."""

_TEXT_FOLLOWS: Final = re.compile(r"[-+][A-Za-z]*c[A-Za-z]*")
_READS_ON: Final = re.compile(r"/dev/stdin|/dev/fd/0|/proc/self/fd/0|(?:^|[\s;&|(){}])read(?:\s|;|$)")

_TAKES_VALUE: Final = frozenset(("-o", "+o", "-O", "+O", "--rcfile", "--init-file"))

BuildIdOf = Callable[[Process], str]
"""The build id of the program a process runs, read from /proc/PID/exe; empty where there is none."""


class Shells:
    """Tells shells; remembers what it learnt of each file. `known_build_ids` are a container's own shells'."""

    def __init__(self, build_id_of: BuildIdOf, known_build_ids: Callable[[int], frozenset[str]]) -> None:
        self._build_id_of = build_id_of
        self._known = known_build_ids
        self._verdicts: dict[tuple[int, int, int], bool] = {}

    def is_shell(self, process: Process) -> bool:
        """Whether the program is a shell, whatever it is called."""
        path, argv = program_of(process)
        name = base_name(path)
        if name in SHELL_NAMES:
            return True
        if name in MULTI_CALL or name.startswith("busybox"):
            return applet(argv) in SHELL_NAMES
        return self._by_build_id(process)

    def _by_build_id(self, process: Process) -> bool:
        file = process.exe
        key = (file.dev, file.ino, file.ctime_ns)
        verdict = self._verdicts.get(key)
        if verdict is None:
            if len(self._verdicts) >= MAX_BUILD_IDS:
                self._verdicts.clear()
            build_id = self._build_id_of(process)
            verdict = self._verdicts[key] = bool(build_id) and build_id in self._known(process.mnt_ns)
        return verdict


def program_of(process: Process) -> tuple[str, Sequence[str]]:
    """The file that runs, and its arguments: where ld.so was asked to run a program, that one and its own."""
    if not is_linker(process.exe.path):
        return process.exe.path, process.argv
    asked = asked_to_run(process.exe.path, process.argv)
    if asked is None or asked not in process.argv[1:]:
        return process.exe.path, process.argv
    return asked, process.argv[process.argv.index(asked, 1) :]


def takes_commands(process: Process) -> bool:
    """Whether a shell takes its commands from standard input, which may be its script, too, by name."""
    path, argv = program_of(process)
    named = bool(STANDARD_INPUT.intersection(argv))
    scripted = process.script is not None and path == process.exe.path and not named
    return reads_commands_from_stdin(argv) and not scripted


def may_take_commands(process: Process) -> bool:
    """Whether a shell was given text (`-c`) that reads from standard input what may be more commands."""
    _, argv = program_of(process)
    flags = next((at for at, word in enumerate(argv[1:4], 1) if _TEXT_FOLLOWS.fullmatch(word)), 0)
    return bool(flags) and any(_READS_ON.search(text) for text in argv[flags + 1 : flags + 2])


def base_name(path: str) -> str:
    """The last part of an executable's path, without the kernel's ` (deleted)`."""
    return path.removesuffix(" (deleted)").rpartition("/")[2]


def applet(argv: Sequence[str]) -> str:
    """The applet a multi-call binary was asked for: by its own name, or as its first argument."""
    if not argv:
        return ""
    own = base_name(argv[0]).lstrip("-")
    return base_name(argv[1]) if own.startswith(("busybox", "toybox")) and len(argv) > 1 else own


def reads_commands_from_stdin(argv: Sequence[str]) -> bool:
    """Whether a shell started with these arguments takes its commands from standard input.

    `sh -c …` and `sh script` do not; `sh`, `bash -i`, `sh -s arg`, `bash --login` and `bash /dev/stdin` do.
    """
    arguments = list(argv[1:])
    if argv and base_name(argv[0]).startswith(("busybox", "toybox")):
        arguments = arguments[1:]
    while arguments:
        argument = arguments.pop(0)
        if argument in STANDARD_INPUT:
            return True
        if argument in ("-", "--"):
            return not arguments
        if argument in _TAKES_VALUE:
            arguments = arguments[1:]
        elif argument.startswith("--"):
            continue
        elif argument.startswith(("-", "+")):
            if "c" in argument[1:]:
                return False
            if "s" in argument[1:]:
                return True
        else:
            return False
    return True
