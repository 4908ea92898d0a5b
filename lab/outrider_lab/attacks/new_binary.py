"""New programs: files that appeared after the container started, and are executed."""

from typing import Final

from outrider_lab.attacks.scenario import NEW_BINARY, Scenario

NEW_BINARIES: Final = (
    Scenario(
        name="new-binary",
        idea="a program is copied to /tmp and run",
        command="cp /bin/true /tmp/new-binary && /tmp/new-binary; rm -f /tmp/new-binary",
        finding=NEW_BINARY,
    ),
    Scenario(
        name="new-binary-old-times",
        idea="the new program's modification time is set back to that of an old one",
        command="f=/tmp/old-times; cp -p /bin/true $f && touch -d 2001-01-01 $f && $f; rm -f $f",
        finding=NEW_BINARY,
    ),
    Scenario(
        name="new-binary-moved",
        idea="the new program is moved over a known name in a directory of programs",
        command="f=/usr/local/bin/sync-clock; cp /bin/true /tmp/moved && mv /tmp/moved $f && $f; rm -f $f",
        finding=NEW_BINARY,
    ),
    Scenario(
        name="new-script",
        idea="a script with an interpreter line is written and run",
        command="f=/tmp/new.sh; printf '#!/bin/sh\\necho script ran\\n' >$f && chmod +x $f && $f; rm -f $f",
        finding=NEW_BINARY,
        expect="script ran",
    ),
    Scenario(
        name="new-script-argument",
        idea="an old interpreter is given a new script as its argument; the script is not executable",
        command="echo 'echo script ran' >/tmp/quiet.txt && sh /tmp/quiet.txt; rm -f /tmp/quiet.txt",
        finding=NEW_BINARY,
        expect="script ran",
    ),
    Scenario(
        name="new-python-script",
        idea="a new Python script is given to the machine's Python",
        command="echo 'print(\"script ran\")' >/tmp/new.py && {python} /tmp/new.py; rm -f /tmp/new.py",
        finding=NEW_BINARY,
        expect="script ran",
    ),
    Scenario(
        name="new-binary-by-loader",
        idea="the dynamic loader, an old program, is told to run a new one",
        command=(
            "loader=$(ls /lib64/ld-linux-*.so.2 /lib/ld-linux-*.so.1 2>/dev/null | head -n 1);"
            " cp /bin/true /tmp/loaded && chmod -x /tmp/loaded && $loader /tmp/loaded; rm -f /tmp/loaded"
        ),
        finding=NEW_BINARY,
    ),
    Scenario(
        name="new-script-by-descriptor",
        idea="a shell is given a new script by the name of its standard input",
        command="echo 'echo script ran' >/tmp/by-name.txt && sh /dev/stdin </tmp/by-name.txt; rm -f /tmp/by-name.txt",
        finding=NEW_BINARY,
        expect="script ran",
    ),
    Scenario(
        name="new-script-by-root",
        idea="a shell is given a new script by a path through a process's root",
        command="echo 'echo script ran' >/tmp/by-root.sh && sh /proc/self/root/tmp/by-root.sh; rm -f /tmp/by-root.sh",
        finding=NEW_BINARY,
        expect="script ran",
    ),
)
