"""Which file a command line asks an interpreter to run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.script import asked_to_run


@pytest.mark.parametrize(
    ("exe", "argv", "script"),
    [
        ("/bin/bash", ["bash", "x.sh"], "x.sh"),
        ("/bin/bash", ["bash", "-c", "x.sh"], None),
        ("/bin/bash", ["bash", "-ec", "x.sh"], None),
        ("/bin/bash", ["bash", "-ex", "x.sh", "y"], "x.sh"),
        ("/bin/bash", ["bash", "-o", "pipefail", "x.sh"], "x.sh"),
        ("/bin/bash", ["bash", "+o", "history", "x.sh"], "x.sh"),
        ("/bin/bash", ["bash", "--norc", "--rcfile", "f", "x.sh"], "x.sh"),
        ("/bin/bash", ["bash", "--", "x.sh"], "x.sh"),
        ("/bin/bash", ["bash", "-s", "x.sh"], None),
        ("/bin/bash", ["-bash"], None),
        ("/bin/bash", ["bash", "-i"], None),
        ("/bin/dash", ["sh", "-e", "x.sh"], "x.sh"),
        ("/tmp/renamed", ["sh", "/tmp/x.sh"], "/tmp/x.sh"),
        ("/usr/bin/python3.11", ["python3", "-u", "x.py"], "x.py"),
        ("/usr/bin/python3.11", ["python3", "-W", "ignore", "-X", "dev", "x.py"], "x.py"),
        ("/usr/bin/python3.11", ["python3", "-Wignore", "x.py"], "x.py"),
        ("/usr/bin/python3.11", ["python3", "-m", "http.server"], None),
        ("/usr/bin/python3.11", ["python3", "-Ic", "print()", "x.py"], None),
        ("/usr/bin/python3.11", ["python3", "-"], None),
        ("/usr/bin/perl", ["perl", "-w", "x.pl"], "x.pl"),
        ("/usr/bin/perl", ["perl", "-e", "print", "x"], None),
        ("/usr/bin/perl", ["perl", "-Ilib", "-MData::Dumper", "x.pl"], "x.pl"),
        ("/usr/bin/perl5.36", ["perl", "-ne", "print"], None),
        ("/usr/bin/ruby", ["ruby", "-r", "json", "x.rb"], "x.rb"),
        ("/usr/bin/ruby", ["ruby", "-e", "puts"], None),
        ("/usr/bin/node", ["node", "--inspect", "x.js"], "x.js"),
        ("/usr/bin/node", ["node", "-r", "./a", "x.js"], "x.js"),
        ("/usr/bin/node", ["node", "--require", "./a", "x.js"], "x.js"),
        ("/usr/bin/node", ["node", "-e", "1"], None),
        ("/usr/bin/node", ["node", "--eval=1", "x"], None),
        ("/usr/bin/php8.2", ["php", "x.php"], "x.php"),
        ("/usr/bin/php8.2", ["php", "-d", "a=b", "-f", "x.php"], "x.php"),
        ("/usr/bin/php8.2", ["php", "-r", "echo 1;"], None),
        ("/usr/bin/mawk", ["awk", "-f", "x.awk", "data"], "x.awk"),
        ("/usr/bin/mawk", ["awk", "{print}", "data"], None),
        ("/usr/bin/java", ["java", "-cp", "a", "-jar", "x.jar"], "x.jar"),
        ("/usr/bin/java", ["java", "-cp", "a", "Main"], None),
        ("/bin/busybox", ["busybox", "sh", "x"], "x"),
        ("/bin/busybox", ["sh", "x"], "x"),
        ("/bin/busybox", ["/bin/busybox", "nc", "h", "1"], None),
        ("/bin/busybox", ["busybox"], None),
        ("/lib64/ld-linux-x86-64.so.2", ["ld", "/tmp/x", "a"], "/tmp/x"),
        ("/lib64/ld-linux-x86-64.so.2", ["ld", "--preload", "/l.so", "--argv0", "n", "/tmp/x"], "/tmp/x"),
        ("/lib64/ld-linux-x86-64.so.2", ["ld", "--list", "/tmp/x"], "/tmp/x"),
        ("/lib64/ld-linux-x86-64.so.2", ["ld", "--help"], None),
        ("/lib/ld-linux-aarch64.so.1", ["ld", "./x"], "./x"),
        ("/lib/ld-musl-x86_64.so.1", ["ld", "./x"], "./x"),
        ("/bin/ls", ["ls", "x.sh"], None),
        ("/bin/bash", [], None),
        ("/bin/bash", [""], None),
    ],
)
def test_command_lines_are_read_as_their_program_reads_them(exe, argv, script):
    """Options with values, clusters and inline programs are told from the script."""
    assert asked_to_run(exe, argv) == script


@pytest.mark.parametrize(
    ("argv", "execfn", "script"),
    [
        (["/bin/sh", "./x"], "./x", "./x"),
        (["/usr/bin/env", "python3", "./x"], "./x", "./x"),
        (["/opt/unknown", "-q", "/tmp/x", "a"], "/tmp/x", "/tmp/x"),
        (["/bin/ls", "a"], "/bin/ls", None),
    ],
)
def test_what_the_kernel_put_behind_the_interpreter_is_the_script(argv, execfn, script):
    """`#!` is recognised whatever the interpreter is: the name asked for stands behind it."""
    assert asked_to_run("/opt/unknown", argv, execfn) == script


@given(st.text(), st.lists(st.text(alphabet="-+c/sh f=.", max_size=8), max_size=8), st.text(max_size=8))
def test_any_command_line_gives_a_word_of_it_or_none(exe, argv, execfn):
    """Hostile command lines neither raise nor make up a file."""
    for name in (exe, "/bin/bash", "/bin/busybox", "/lib/ld-linux.so.2", "/usr/bin/php", "/usr/bin/awk"):
        found = asked_to_run(name, argv, execfn)
        assert found is None or found == execfn or any(found in word for word in argv)
