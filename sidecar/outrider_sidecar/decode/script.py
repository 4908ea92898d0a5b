"""Which file an interpreter, or the dynamic linker, was asked to run.

`/tmp/x.sh` run through `#!`, by `bash /tmp/x.sh` or by `/lib/ld-linux.so.2 /tmp/x` is the program that counts,
though /proc/PID/exe names another. This file reads a command line as those programs read it: options with
values are skipped with their values, and options that bring their own program (`-c`, `-e`, `-m`) mean that
there is no script.

The kernel runs `#!` by putting the script's name, exactly as it was asked for, behind the interpreter and its
one argument: AT_EXECFN then equals argv[1] or argv[2], whatever the interpreter is.

What it misses: a script on standard input, and an interpreter renamed in both its file name and argv[0].
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct


class Grammar(Struct, frozen=True):
    """How one family of interpreters reads its command line.

    `inline` are option letters that bring the program themselves; `valued` are letters that take a value (in
    the same word, or the next); `valued_words` are long options that take the next word. `file_letters` take
    the script itself as value. `clusters` says that letters may stand together. `verbs` are first words that
    stand before the script.
    """

    inline: str = ""
    valued: str = ""
    valued_words: frozenset[str] = frozenset()
    inline_words: frozenset[str] = frozenset()
    file_letters: str = ""
    clusters: bool = True
    verbs: frozenset[str] = frozenset()
    needs_file_letter: bool = False


_SHELL: Final = Grammar(inline="cs", valued="oO", valued_words=frozenset({"--rcfile", "--init-file"}))
_LINKER: Final = Grammar(
    clusters=False,
    valued_words=frozenset(
        {"--preload", "--library-path", "--argv0", "--audit", "--inhibit-rpath", "--glibc-hwcaps-mask"}
        | {"--glibc-hwcaps-prepend"}
    ),
    inline_words=frozenset({"--help", "--version", "--list-tunables", "--list-diagnostics"}),
)
_NODE: Final = Grammar(
    inline="ep",
    valued="rC",
    valued_words=frozenset({"--require", "--import", "--loader", "--experimental-loader", "--conditions"}),
    inline_words=frozenset({"--eval", "--print"}),
    clusters=False,
)
_AWK: Final = Grammar(file_letters="f", valued="vF", needs_file_letter=True, clusters=False)

GRAMMARS: Final[dict[str, Grammar]] = {
    **dict.fromkeys(("sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash", "yash"), _SHELL),
    "fish": Grammar(
        inline="c", valued="C", valued_words=frozenset({"--init-command"}), inline_words=frozenset({"--command"})
    ),
    **dict.fromkeys(("csh", "tcsh"), Grammar(inline="cs")),
    **dict.fromkeys(
        ("python", "pypy"), Grammar(inline="cm", valued="WX", valued_words=frozenset({"--check-hash-based-pycs"}))
    ),
    "perl": Grammar(inline="eE", valued="IMm", clusters=True),
    "ruby": Grammar(inline="e", valued="ICEr", clusters=True),
    "php": Grammar(inline="rBRE", valued="dczt", file_letters="fF", clusters=False),
    "lua": Grammar(inline="e", valued="l", clusters=False),
    "luajit": Grammar(inline="e", valued="lj", clusters=False),
    **dict.fromkeys(("node", "nodejs"), _NODE),
    "deno": Grammar(clusters=False, verbs=frozenset({"run"})),
    "bun": Grammar(clusters=False, inline="e", verbs=frozenset({"run"})),
    **dict.fromkeys(("tclsh", "wish", "expect"), Grammar(inline="c", file_letters="f", clusters=False)),
    **dict.fromkeys(("awk", "gawk", "mawk", "nawk"), _AWK),
    "Rscript": Grammar(inline="e", clusters=False),
    "pwsh": Grammar(clusters=False, inline_words=frozenset({"-Command", "-EncodedCommand", "-c", "-e"})),
    "java": Grammar(
        clusters=False,
        valued_words=frozenset({"-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules"}),
        inline_words=frozenset({"-m", "--module"}),
        needs_file_letter=True,
    ),
}

_VERSION: Final = re.compile(r"[-.\d]+[a-z]?$")
_LINKER_NAME: Final = re.compile(
    r"ld-linux[-\w]*\.so\.\d+|ld-musl-\w+\.so\.\d+|ld-\d+\.\d+\.so|ld\.so(\.\d+)?|ld64\.so\.\d"
)
MAX_WORDS: Final = 256
"""Most words of a command line looked at."""


def asked_to_run(exe: str, argv: Sequence[str], execfn: str = "") -> str | None:
    """The file that the program `exe` was told to run, as it was named, or None.

    `exe` is a path (only its last part matters), `execfn` the name that was given to execve(2).
    """
    if len(argv) < 2:
        return None
    if execfn and execfn in argv[1:3]:
        return execfn
    name = exe.rpartition("/")[2].removesuffix(" (deleted)")
    if is_linker(name):
        return _first_operand(argv[1:MAX_WORDS], _LINKER)
    if name.startswith("busybox"):
        return _of_busybox(argv)
    grammar = _grammar(name) or _grammar(argv[0].rpartition("/")[2].lstrip("-"))
    return _first_operand(argv[1:MAX_WORDS], grammar) if grammar else None


def is_interpreter(exe: str) -> bool:
    """Whether the last part of the path is the name of an interpreter known here."""
    return _grammar(exe.rpartition("/")[2]) is not None


def is_linker(exe: str) -> bool:
    """Whether the last part of the path is the name of a dynamic linker."""
    name = exe.rpartition("/")[2]
    return name.startswith("ld") and _LINKER_NAME.fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _grammar(name: str) -> Grammar | None:
    return GRAMMARS.get(name) or GRAMMARS.get(_VERSION.sub("", name))


def _of_busybox(argv: Sequence[str]) -> str | None:
    words = list(argv[:MAX_WORDS])
    if words[0].rpartition("/")[2].startswith("busybox"):
        words = words[1:]
    grammar = _grammar(words[0].rpartition("/")[2].lstrip("-")) if words else None
    return _first_operand(words[1:], grammar) if grammar else None


def _first_operand(words: Sequence[str], grammar: Grammar) -> str | None:
    rest = iter(words)
    for word in rest:
        if word == "--":
            return None if grammar.needs_file_letter else next(rest, None)
        if word == "-jar":
            return next(rest, None)
        if word in grammar.verbs:
            continue
        if word in ("-", "") or word[0] not in "-+":
            return None if grammar.needs_file_letter or word in ("-", "") else word
        if word in grammar.inline_words or word.partition("=")[0] in grammar.inline_words:
            return None
        if word in grammar.valued_words:
            next(rest, None)
            continue
        if word.startswith("--") or (len(word) > 2 and not grammar.clusters and word[1] not in grammar.file_letters):
            continue
        kind, value = _read_letters(word[1:], grammar)
        if kind == "inline":
            return None
        if kind == "file":
            return value or next(rest, None)
        if kind == "valued" and not value:
            next(rest, None)
    return None


def _read_letters(letters: str, grammar: Grammar) -> tuple[str, str]:
    """What a word of option letters comes to: its kind, and the value that stands in the same word."""
    for at, letter in enumerate(letters):
        if letter in grammar.inline:
            return "inline", ""
        if letter in grammar.file_letters:
            return "file", letters[at + 1 :]
        if letter in grammar.valued:
            return "valued", letters[at + 1 :]
    return "", ""
