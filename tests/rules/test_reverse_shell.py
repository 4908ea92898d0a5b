"""Reverse Shell and its low sister, from the events of a shell's life; the kinds of tie have their own test."""

import pytest
from transcripts import at, pid, ran

from outrider_wire.events import ConnectionOpened, Descriptor, ProcessExited, SocketFacts

REVERSE = [("Execution:Runtime/ReverseShell", "HIGH")]
FED = [("Execution:Runtime/SuspiciousShellCreated", "LOW")]


def tcp(inode: int = 71, direction: str = "outbound", port: int = 4444) -> SocketFacts:
    return SocketFacts(inode, "tcp", "10.0.0.2", 50_000, "203.0.113.9", port, "ESTABLISHED", 0, direction)


def sock(fd: int, inode: int = 71) -> Descriptor:
    return Descriptor(fd, f"socket:[{inode}]", inode=inode, access="rw")


def pipe(fd: int, inode: int, access: str) -> Descriptor:
    return Descriptor(fd, f"pipe:[{inode}]", inode=inode, access=access)


def null(fd: int) -> Descriptor:
    return Descriptor(fd, "/dev/null", inode=4, dev=6, access="rw")


def slave(fd: int) -> Descriptor:
    return Descriptor(fd, "/dev/pts/3", inode=6, dev=7, access="rw")


STREAMS = (sock(0), sock(1), sock(2))
PIPES = (pipe(0, 50, "r"), pipe(1, 51, "w"), pipe(2, 51, "w"))
RELAY = (null(0), null(1), sock(3), pipe(4, 50, "w"), pipe(5, 51, "r"))
BUSY = (*RELAY, Descriptor(6, "anon_inode:[eventpoll]"), sock(7, 72))

DIRECT = {
    "sh on the connection": ran(5, "/bin/sh", "sh", stdio=STREAMS, sockets=(tcp(),)),
    "a shell of another name": ran(5, "/opt/tool", "tool", stdio=STREAMS, sockets=(tcp(),)),
    "sh with a command": ran(5, "/bin/sh", "sh", "-c", "id", stdio=STREAMS, sockets=(tcp(),)),
    "to a well-known port": ran(5, "/bin/bash", "bash", "-i", stdio=STREAMS, sockets=(tcp(port=443),)),
    "of unknown direction": ran(5, "/bin/bash", "bash", stdio=STREAMS, sockets=(tcp(direction="unknown"),)),
}
NOT = {
    "inbound, as from inetd": ran(5, "/bin/sh", "sh", stdio=STREAMS, sockets=(tcp(direction="inbound"),)),
    "output alone": ran(5, "/bin/sh", "sh", stdio=(null(0), sock(1), sock(2)), sockets=(tcp(),)),
    "input alone": ran(5, "/bin/sh", "sh", stdio=(sock(0), null(1), null(2)), sockets=(tcp(),)),
    "a terminal of nobody here": ran(5, "/bin/bash", "bash", "-i", stdio=(slave(0), slave(1), slave(2))),
    "a socket whose facts are not known": ran(5, "/bin/sh", "sh", stdio=STREAMS),
}


@pytest.mark.parametrize("name", DIRECT)
def test_a_program_on_an_outbound_connection_is_told_at_once(name, transcript):
    """Input and output are one connection that we opened: told at the exec, about that process."""
    assert transcript.tell(DIRECT[name]) == REVERSE
    finding = transcript.found[0]
    assert finding.process is not None
    assert finding.process.pid == 5
    assert finding.evidence["stdio.tie"] == "socket"


@pytest.mark.parametrize("name", NOT)
def test_half_a_connection_or_anothers_is_not(name, transcript):
    """One direction, an inbound connection or a terminal raises nothing."""
    assert transcript.tell(NOT[name]) == []


def test_what_the_shell_starts_is_not_told_again(transcript):
    """`id` in a reverse shell has the connection from the shell."""
    found = transcript.tell(
        DIRECT["sh on the connection"],
        ran(6, "/usr/bin/id", parent=5, stdio=STREAMS, sockets=(tcp(),)),
        ran(7, "/bin/bash", parent=6, stdio=STREAMS, sockets=(tcp(),)),
    )
    assert found == REVERSE


def test_the_taps_word_on_direction_counts(transcript):
    """Ports say outbound; the packet tap saw the SYN come in."""
    syn = ConnectionOpened(at(90), "203.0.113.9", 4444, "10.0.0.2", 50_000, "inbound")
    assert transcript.tell(syn, DIRECT["sh on the connection"]) == []


def test_a_relay_is_found_when_the_connection_opens_later(transcript):
    """The shell starts first; the relay connects afterwards; the tie is told about the shell."""
    transcript.tell(ran(5, "/usr/bin/nc", "nc"), ran(6, "/bin/sh", "sh", stdio=PIPES))
    assert transcript.found == []
    transcript.held = {6: PIPES, 5: (pipe(0, 51, "r"), pipe(1, 50, "w"), sock(3))}
    transcript.sockets = {71: tcp()}
    opened = ConnectionOpened(at(3000), "10.0.0.2", 50_000, "203.0.113.9", 4444, "outbound", owner=pid(5))
    assert transcript.tell(opened) == REVERSE
    process = transcript.found[0].process
    assert process is not None
    assert process.pid == 6


def test_a_busy_program_that_feeds_a_shell_is_low(transcript):
    """A program with an event loop and several connections that feeds a shell by pipe: the other, low finding."""
    transcript.held = {6: PIPES, 5: BUSY}
    transcript.sockets = {71: tcp(), 72: tcp(72, port=443)}
    assert transcript.tell(ran(5, "/usr/bin/runner"), ran(6, "/bin/bash", "bash", stdio=PIPES)) == FED


def test_a_script_fed_and_done_is_low_at_most(transcript):
    """The pipe is closed before it lasted: never a reverse shell."""
    transcript.held = {6: PIPES, 5: RELAY}
    transcript.sockets = {71: tcp()}
    transcript.engine.handle(ran(5, "/usr/bin/runner"))
    transcript.engine.handle(ran(6, "/bin/bash", "bash", stdio=PIPES))
    transcript.held = {}
    transcript.engine.handle(ProcessExited(at(120), pid(6), 0))
    assert transcript.tell() == FED


@pytest.mark.parametrize("argv", [("bash", "-c", "make"), ("bash", "build.sh"), ("sh", "-e", "step.sh")])
def test_a_shell_with_its_commands_given_is_nobodys(argv, transcript):
    """A web application that runs a script for a request and takes its answer is no shell session."""
    transcript.held = {6: PIPES, 5: BUSY}
    transcript.sockets = {71: tcp(), 72: tcp(72, port=5432)}
    assert transcript.tell(ran(5, "/usr/bin/app"), ran(6, "/bin/bash", *argv, stdio=PIPES)) == []


def test_a_loop_that_answers_is_told_about_the_shell(transcript):
    """`cat <&5 | while read c; do $c >&5; done`: told when a command of the loop writes to the connection."""
    transcript.tell(ran(5, "/bin/bash", "bash", stdio=(null(0), null(1))))
    transcript.held = {5: (pipe(0, 50, "r"), null(1), sock(5)), 6: (sock(0), pipe(1, 50, "w"))}
    transcript.sockets = {71: tcp()}
    found = transcript.tell(
        ran(6, "/bin/cat", parent=1, stdio=(sock(0), pipe(1, 50, "w")), sockets=(tcp(),)),
        ran(7, "/usr/bin/id", parent=5, stdio=(pipe(0, 50, "r"), sock(1), sock(2)), sockets=(tcp(),)),
    )
    assert found == REVERSE
    process = transcript.found[0].process
    assert process is not None
    assert process.pid == 5


def test_a_shell_that_answers_on_its_own_high_descriptor_is_told(transcript):
    """`while read -r -u5 l; do eval "$l" >&5 2>&5; done`: the shell's streams never touch the connection."""
    transcript.held = {5: (null(0), null(1), sock(5))}
    transcript.sockets = {71: tcp()}
    transcript.tell(ran(5, "/bin/bash", "bash", "-c", "…", stdio=(null(0), null(1))))
    answers = ran(7, "/usr/bin/id", parent=5, stdio=(null(0), sock(1), sock(2)), sockets=(tcp(),))
    assert transcript.tell(answers) == REVERSE
    process = transcript.found[0].process
    assert process is not None
    assert process.pid == 5


ASIDE = (null(0), sock(1), sock(2), sock(5), pipe(10, 60, "w"), null(11))
"""What a shell holds while it runs `eval … >&5 2>&5`: its own streams are put aside."""


def test_a_shell_that_puts_its_streams_aside_to_answer_is_told(transcript):
    """While the `eval` runs, the shell itself has the connection as its output."""
    streams = (null(0), pipe(1, 60, "w"), null(2))
    transcript.held = {5: ASIDE}
    transcript.sockets = {71: tcp()}
    transcript.tell(ran(5, "/bin/bash", "bash", "-c", "…", stdio=streams))
    answers = ran(7, "/usr/bin/id", parent=5, stdio=(null(0), sock(1), sock(2)), sockets=(tcp(),))
    assert transcript.tell(answers) == REVERSE


def test_a_script_that_sends_its_output_away_for_good_is_quiet(transcript):
    """`exec 4>&1 5>/dev/tcp/…; exec >&5 2>&5`: a script's own log, though it may want its output back."""
    streams = (null(0), pipe(1, 60, "w"), pipe(2, 60, "w"))
    transcript.held = {5: (null(0), sock(1), sock(2), pipe(4, 60, "w"), sock(5))}
    transcript.sockets = {71: tcp(port=514)}
    transcript.tell(ran(5, "/bin/bash", "bash", "job.sh", stdio=streams))
    logs = ran(7, "/bin/date", parent=5, stdio=(null(0), sock(1), sock(2)), sockets=(tcp(port=514),))
    assert transcript.tell(logs) == []


def test_a_shell_for_each_line_that_answers_is_told_about_its_parent(transcript):
    """`while read -r -u5 l; do echo "$l" | sh >&5 2>&5; done`: each shell is fed by a pipe that leads nowhere."""
    transcript.held = {5: (null(0), null(1), sock(5))}
    transcript.sockets = {71: tcp()}
    transcript.tell(ran(5, "/bin/bash", "bash", "-c", "…", stdio=(null(0), null(1))))
    line = ran(7, "/bin/sh", "sh", parent=5, stdio=(pipe(0, 50, "r"), sock(1), sock(2)), sockets=(tcp(),))
    assert transcript.tell(line) == REVERSE
    process = transcript.found[0].process
    assert process is not None
    assert process.pid == 5


FILTER = (pipe(0, 51, "r"), pipe(1, 50, "w"), sock(3))
READS = 'while read c; do eval "$c"; done'


@pytest.mark.parametrize(
    ("argv", "holder", "expected"),
    [
        (("sh", "-c", READS), FILTER, REVERSE),
        (("bash", "/dev/stdin"), FILTER, REVERSE),
        (("sh", "-c", "sort | uniq -c"), FILTER, []),
        (("sh", "-c", READS), RELAY, []),
        (("sh", "-c", READS), BUSY, []),
    ],
)
def test_text_that_reads_on_is_told_in_a_pipeline_alone(argv, holder, expected, transcript):
    """`nc … <f | sh -c 'while read c; …' >f`; a program that keeps such a helper on pipes is nobody's business."""
    transcript.held = {6: PIPES, 5: holder}
    transcript.sockets = {71: tcp(), 72: tcp(72, port=443)}
    assert transcript.tell(ran(5, "/usr/bin/tool"), ran(6, "/bin/sh", *argv, stdio=PIPES)) == expected


def test_a_script_that_sends_a_measurement_is_quiet(transcript):
    """`exec 3>/dev/tcp/graphite/2003; df | awk … >&3`: output alone, errors go where they went."""
    transcript.held = {5: (null(0), null(1), sock(3))}
    transcript.sockets = {71: tcp(port=2003)}
    transcript.tell(ran(5, "/bin/bash", "bash", "push.sh", stdio=(null(0), null(1))))
    sends = ran(7, "/usr/bin/awk", parent=5, stdio=(null(0), sock(1), null(2)), sockets=(tcp(port=2003),))
    assert transcript.tell(sends) == []


def test_a_shell_below_a_program_that_logs_to_a_socket_is_quiet(transcript):
    """Output and errors are the log connection, inherited by everybody below."""
    streams = (null(0), sock(1), sock(2))
    transcript.held = {5: streams}
    transcript.sockets = {71: tcp(port=514)}
    transcript.tell(ran(5, "/bin/sh", "sh", "-c", "…", stdio=streams, sockets=(tcp(port=514),)))
    assert transcript.tell(ran(7, "/bin/ls", parent=5, stdio=streams, sockets=(tcp(port=514),))) == []


def test_a_health_check_that_reads_an_answer_is_quiet(transcript):
    """`exec 3<>/dev/tcp/…; cat <&3 | grep -q OK`: nothing is run on what was read."""
    transcript.held = {5: (null(0), null(1), sock(3)), 6: (sock(0), pipe(1, 50, "w"))}
    transcript.sockets = {71: tcp(port=8080)}
    found = transcript.tell(
        ran(5, "/bin/bash", "bash", "-c", "…", stdio=(null(0), null(1))),
        ConnectionOpened(at(150), "10.0.0.2", 50_000, "203.0.113.9", 8080, "outbound", owner=pid(5)),
        ran(6, "/bin/cat", parent=5, stdio=(sock(0), pipe(1, 50, "w")), sockets=(tcp(port=8080),)),
        ran(7, "/bin/grep", parent=5, stdio=(pipe(0, 50, "r"), null(1))),
    )
    assert found == []
