"""Quiet twins: ordinary work that looks much like an attack, and must raise nothing."""

from typing import Final

from outrider_lab.attacks.scenario import SHELL_PEER_TLS, Peer, Scenario
from outrider_lab.settings import Mount

PIPED_SHELL: Final = "Execution:Runtime/SuspiciousShellCreated"
"""The LOW finding that a CI runner may raise."""

MANAGED_AGENTS: Final = "/managed-agents/execute-command"
AGENT_FOLDER: Final = "{agents}"
"""Stands for a folder of the machine that holds the session worker; `play.prepare_agents` makes it."""

_SSHD: Final = (
    "mkdir -p /run/sshd /tmp/ssh && chmod 700 /tmp/ssh && ssh-keygen -q -t ed25519 -N '' -f /tmp/ssh/host"
    " && cp {folder}/key.pub /tmp/ssh/authorized && chmod 600 /tmp/ssh/authorized"
    " && /usr/sbin/sshd -D -e -p {port} -h /tmp/ssh/host -o StrictModes=no -o UsePAM=no -o PermitRootLogin=yes"
    " -o AuthorizedKeysFile=/tmp/ssh/authorized -o PidFile=none"
)
_SSH: Final = (
    "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do"
    " ssh -tt -i {folder}/key -p {port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    " root@{address}"
    " 'bash -ic \"id; sleep 0.5; echo outrider-ssh\"' && break; sleep 0.1; done"
)

_COMPILER: Final = """
import mmap, os, time
fd = os.memfd_create("doublemapper", 0)
os.ftruncate(fd, 65536)
code = mmap.mmap(fd, 65536, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code[:4] = bytes(4)
time.sleep(1.5)
print("compiled")
"""
_HELPER: Final = """
import socket, subprocess, sys
server = socket.create_connection((sys.argv[1], int(sys.argv[2])))
loop = "while read line; do echo got $line; sleep 0.2; done"
helper = subprocess.Popen(["sh", "-c", loop], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
for step in range(5):
    helper.stdin.write(b"step\\n")
    server.sendall(helper.stdout.readline())
helper.stdin.close()
helper.wait()
print("helped", step + 1)
"""

QUIET: Final = (
    Scenario(
        name="quiet-terminal",
        idea="an interactive shell on a terminal, whose other end is no connection",
        command="printf 'id\\nsleep 0.3\\nexit\\n' | script -qec 'bash -i' /dev/null",
        expect="uid=0",
        tools=("script", "bash"),
    ),
    Scenario(
        name="quiet-ssh",
        idea="a person comes in by ssh and has a shell on a terminal: the connection is inbound",
        command=_SSHD,
        peer=Peer(connects=_SSH),
        expect="outrider-ssh",
        tools=("/usr/sbin/sshd", "ssh", "ssh-keygen"),
    ),
    Scenario(
        name="quiet-ecs-exec",
        idea="ECS Exec's session worker, from a read-only mount: an outbound TLS connection and a shell on a terminal",
        command=(
            f"{MANAGED_AGENTS}/ssm-session-worker"
            " OPENSSL:{host}:{port},verify=0 EXEC:/bin/sh,pty,setsid,ctty,stderr"
        ),
        peer=SHELL_PEER_TLS,
        how="exec",
        expect="uid=0",
        tools=("socat",),
        mounts=(Mount(target=MANAGED_AGENTS, source=AGENT_FOLDER, read_only=True),),
    ),
    Scenario(
        name="quiet-web-server",
        idea="a web server with a database connection runs shell scripts for requests and feeds them their bodies",
        command="{python} {programs}/web_server.py {host} {port}",
        peer=Peer(reply="row\n", hold_s=0.0),
        expect="served 5",
    ),
    Scenario(
        name="quiet-log-socket",
        idea="a program sends its standard output to a log collector over TCP, and starts shells that inherit it",
        command="{python} {programs}/log_to_socket.py {host} {port}",
        peer=Peer(hold_s=0.0),
        expect="log line 3",
    ),
    Scenario(
        name="quiet-health-check",
        idea="bash looks over /dev/tcp whether a port answers, and reads what it says",
        command=(
            "for i in 1 2 3; do bash -c 'exec 3<>/dev/tcp/{host}/{port};"
            ' printf "GET /health HTTP/1.0\\r\\n\\r\\n" >&3; head -n 1 <&3\'; done;'
            " timeout 1 bash -c '</dev/tcp/{host}/{port}' && echo reachable"
        ),
        peer=Peer(reply="HTTP/1.0 200 OK\n", hold_s=0.0),
        expect="reachable",
        tools=("bash",),
    ),
    Scenario(
        name="quiet-report",
        idea="bash sends what its functions print, errors too, to a log collector over /dev/tcp",
        command=(
            "bash -c 'exec 3<>/dev/tcp/{host}/{port}; report() { date; id; df /; }; report >&3 2>&3; date >&3 2>&3;"
            " exec 4>&1 >&3 2>&3; date; id; exec >&4; echo reported'"
        ),
        peer=Peer(hold_s=0.0),
        expect="reported",
        tools=("bash",),
    ),
    Scenario(
        name="quiet-helper",
        idea="a worker with a connection talks to a shell's helper loop over two pipes",
        command="{python} -c '" + _HELPER + "' {host} {port}",
        peer=Peer(hold_s=0.0),
        expect="helped 5",
    ),
    Scenario(
        name="quiet-ci-runner",
        idea="a build agent with an outbound connection feeds a script to bash through a pipe",
        command="{python} {programs}/ci_runner.py {host} {port}",
        allowed=(PIPED_SHELL,),
        peer=Peer(reply="job\n", hold_s=0.0),
        expect="job done 0",
        tools=("bash",),
    ),
    Scenario(
        name="quiet-scripts-by-name",
        idea="shells that read pipes and long here documents by name: text of a command line, and no files",
        command=(
            "bash -c 'bash <(echo \"echo from a pipe\")'; echo 'echo from a pipe' | bash /dev/stdin;"
            " (echo 'bash /dev/stdin <<EOF'; yes : | head -n 60000; echo 'echo here'; echo EOF) | bash && echo quiet"
        ),
        expect="quiet",
        tools=("bash",),
    ),
    Scenario(
        name="quiet-compiler",
        idea="a program compiles at run time into memory that is mapped executable, as .NET does",
        command=f"{{python}} -c '{_COMPILER}'",
        expect="compiled",
    ),
)
