"""Programs of every awkward kind go on under the tracer as they would without, and are seen."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from outrider_sidecar.sensors.attach import TracerOptions, TreeScope
from outrider_wire.events import ProcessExecuted, ProcessExited, ProcessReleased, ProcessStarted, SightLost

PYTHON = sys.executable


def poll_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def runs(pid, name):
    try:
        return os.readlink(f"/proc/{pid}/exe").endswith("/" + name)
    except OSError:
        return False


def python(code: str) -> list[str]:
    return [PYTHON, "-S", "-E", "-c", textwrap.dedent(code)]


def test_every_spawn_is_seen_with_its_exit_status(run):
    """Start, exec and exit of each of 200 spawns are told, and the parent sees each true status."""
    traced = run(
        *python("""
        import os
        for n in range(200):
            pid = os.posix_spawn("/bin/sh", ["sh", "-c", f"exit {n % 7}"], os.environ)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == n % 7
        print("right")
    """)
    )
    assert traced.finish() == "right\n"
    shells = [
        each for each in traced.tracing.of(ProcessExecuted) if each.argv[:2] == ("sh", "-c") and len(each.argv) == 3
    ]
    assert [each.argv[2] for each in shells] == [f"exit {n % 7}" for n in range(200)]
    ended = {each.process: each.status for each in traced.tracing.of(ProcessExited)}
    assert [os.waitstatus_to_exitcode(ended[each.process]) for each in shells] == [n % 7 for n in range(200)]
    started = {each.process: each for each in traced.tracing.of(ProcessStarted)}
    assert all(started[each.process].parent.pid == traced.pid for each in shells)


def test_an_exec_is_told_with_all_its_facts(run, tmp_path):
    """Arguments, kept variables, ids, directory, descriptors and the script are right; secrets stay behind."""
    script = tmp_path / "x.sh"
    script.write_text("#!/bin/sh\ncd /\n")
    script.chmod(0o755)
    traced = run(
        "env",
        "SECRET=1",
        "LD_LIBRARY_PATH=/q",
        "https_proxy=http://me:pw@h:1",
        "sh",
        "-c",
        f"cd {tmp_path}; ./x.sh a b; true",
    )
    traced.finish()
    [event] = [each for each in traced.tracing.of(ProcessExecuted) if each.script and each.script.path.endswith("x.sh")]
    assert event.argv == ("/bin/sh", "./x.sh", "a", "b")
    assert event.execfn == "./x.sh"
    assert event.script.ino == script.stat().st_ino
    assert event.script.ctime_ns == script.stat().st_ctime_ns
    assert event.env == {"LD_LIBRARY_PATH": "/q", "https_proxy": "http://***@h:1"}
    assert (event.uid, event.euid, event.gid, event.egid) == (os.getuid(), os.geteuid(), os.getgid(), os.getegid())
    assert event.cwd == str(tmp_path)
    assert [each.fd for each in event.stdio] == [0, 1, 2]
    assert event.stdio[1].target.startswith("pipe:[")
    assert event.stdio[1].access == "w"
    assert event.exe.ino == os.stat("/bin/sh").st_ino
    assert event.comm == "x.sh"
    assert event.missing == ()
    assert event.mnt_ns == os.stat("/proc/self/ns/mnt").st_ino


def test_a_fork_without_exec_is_told(run):
    """A child that never execs has a start and an exit, with its true parent."""
    traced = run("sh", "-c", "(sleep 0.1; exit 3) & wait $!; (exit 4); true")
    traced.finish()
    codes = {os.waitstatus_to_exitcode(each.status) for each in traced.tracing.of(ProcessExited)}
    assert {3, 4} <= codes
    parents = {each.process: each.parent for each in traced.tracing.of(ProcessStarted)}
    assert all(each.process in parents for each in traced.tracing.of(ProcessExited))


def test_twenty_thousand_signals_arrive(run):
    """No signal of 20,000 is lost or doubled."""
    traced = run(
        *python("""
        import os, signal
        seen = 0
        def count(*_):
            global seen
            seen += 1
        signal.signal(signal.SIGUSR1, count)
        for _ in range(20000):
            os.kill(os.getpid(), signal.SIGUSR1)
        print(seen)
    """)
    )
    assert traced.finish() == "20000\n"


def test_two_hundred_threads_run_and_end(run):
    """Threads start, work and end; their process is told of once, with its own status."""
    traced = run(
        *python("""
        import threading
        done = []
        gate = threading.Barrier(200)
        def work():
            gate.wait()
            done.append(1)
        threads = [threading.Thread(target=work) for _ in range(200)]
        [each.start() for each in threads]; [each.join() for each in threads]
        print(len(done))
        raise SystemExit(9)
    """)
    )
    assert traced.finish() == "200\n"
    ends = [each for each in traced.tracing.of(ProcessExited) if each.process.pid == traced.pid]
    assert [os.waitstatus_to_exitcode(each.status) for each in ends] == [9]
    assert {each.process.pid for each in traced.tracing.of(ProcessStarted)} == {traced.pid}


def test_an_exec_from_a_thread_keeps_the_process(run):
    """A thread that execs becomes its process; what comes after it is seen as before."""
    traced = run(
        *python("""
        import os, threading
        other = threading.Thread(target=threading.Event().wait, daemon=True)
        other.start()
        threading.Thread(target=lambda: os.execv("/bin/sh", ["sh", "-c", "/bin/true; echo after; exit 5"])).start()
        threading.Event().wait()
    """)
    )
    assert traced.finish() == "after\n"
    assert traced.process.returncode == 5
    assert any(
        each.argv[:1] == ("sh",) and each.process.pid == traced.pid for each in traced.tracing.of(ProcessExecuted)
    )
    assert traced.tracing.executed("true")
    [end] = [each for each in traced.tracing.of(ProcessExited) if each.process.pid == traced.pid]
    assert os.waitstatus_to_exitcode(end.status) == 5


def test_a_child_forked_by_a_thread_stops_at_its_exit(run):
    """The exit stop's facts are there for children of threads, whose options lack it."""
    traced = run(
        *python("""
        import subprocess, threading
        def work():
            subprocess.run(["/bin/sh", "-c", "exit 6"], stdin=subprocess.PIPE)
        each = threading.Thread(target=work); each.start(); each.join()
    """)
    )
    traced.finish()
    [end] = [each for each in traced.tracing.of(ProcessExited) if os.waitstatus_to_exitcode(each.status) == 6]
    assert any(each.target.startswith("pipe:[") for each in end.descriptors)


def test_a_program_without_arguments_is_seen(run, compile_c):
    """argc = 0 survives (newer kernels make it one empty argument)."""
    program = compile_c('#include <unistd.h>\nint main(){char *none[]={0};execve("/bin/true",none,none);return 1;}')
    traced = run(str(program))
    traced.finish()
    [event] = traced.tracing.executed("true")
    assert event.argv in ((), ("",))
    assert event.missing == ()


def test_a_command_line_of_a_megabyte_is_bounded(run):
    """A huge command line is cut, said with what it begins, and the program runs."""
    traced = run(
        *python("""
        import subprocess
        print(len(subprocess.run(["/bin/echo", "-n", *["x" * 100_000] * 10], stdout=subprocess.PIPE).stdout))
    """)
    )
    assert traced.finish() == "1000009\n"
    [event] = traced.tracing.executed("echo")
    assert event.argv[:2] == ("/bin/echo", "-n")
    assert sum(map(len, event.argv)) <= 66_000


@pytest.mark.parametrize("tool", ["strace", "gdb"])
def test_a_debugger_inside_works_and_is_released(run, tool):
    """strace and gdb run a program of their own under guard; they are let go, and it is said."""
    command = {
        "strace": ["strace", "-f", "-o", "/dev/null", "sh", "-c", "/bin/true; echo traced"],
        "gdb": ["gdb", "-q", "-batch", "-ex", "run", "--args", "/bin/echo", "traced"],
    }[tool]
    if not any(os.access(f"{folder}/{tool}", os.X_OK) for folder in os.get_exec_path()):
        pytest.skip(f"{tool} is not installed")
    traced = run(*command)
    assert "traced" in traced.finish()
    assert traced.process.returncode == 0
    [release] = traced.tracing.of(ProcessReleased)
    assert tool in release.reason
    assert release.process.pid == traced.pid


def test_a_path_on_the_release_list_is_released(run):
    """Any executable can be released by its whole path."""
    path = os.path.realpath("/bin/sleep")
    traced = run("sh", "-c", "sleep 0.01; true", released_paths=frozenset({path}))
    traced.finish()
    assert [path in each.reason for each in traced.tracing.of(ProcessReleased)] == [True]


def test_a_set_uid_program_keeps_its_privilege(run, compile_c):
    """Under a tracer with privilege a set-uid program runs with its owner's ids, and is told so."""
    if os.geteuid():
        pytest.skip("needs root: without it the kernel withholds the privilege under any tracer")
    program = compile_c(
        '#include <stdio.h>\n#include <unistd.h>\nint main(){printf("%d %d",getuid(),geteuid());return 0;}'
    )
    program.chmod(0o4755)
    traced = run(
        *python(f"""
        import os
        os.setgid(65534); os.setuid(65534)
        os.execv({str(program)!r}, ["program"])
    """)
    )
    assert traced.finish() == "65534 0"
    [event] = [each for each in traced.tracing.of(ProcessExecuted) if each.exe.path == str(program)]
    assert (event.uid, event.euid) == (65534, 0)


def test_a_child_that_hides_from_the_tracer_is_found(run, compile_c):
    """A CLONE_UNTRACED child is found by the watermark, told as untraced, and seized: its exec is seen."""
    program = compile_c(r"""
        #define _GNU_SOURCE
        #include <sched.h>
        #include <stdlib.h>
        #include <signal.h>
        #include <stdio.h>
        #include <string.h>
        #include <unistd.h>
        #include <sys/syscall.h>
        #include <sys/wait.h>
        static int is_traced() {
            char line[200];
            FILE *file = fopen("/proc/self/status", "r");
            int found = 0;
            while (fgets(line, sizeof line, file))
                if (!strncmp(line, "TracerPid:", 10)) found = atoi(line + 10);
            fclose(file);
            return found;
        }
        int main() {
            long pid = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
            if (!pid) {
                for (int i = 0; i < 3000 && !is_traced(); i++) usleep(10000);
                execl("/bin/sleep", "sleep", "0.2", (char *)0); _exit(1);
            }
            int status; waitpid(pid, &status, 0); return WEXITSTATUS(status);
        }
    """)
    traced = run(str(program))
    traced.finish()
    assert traced.process.returncode == 0
    [hidden] = [each for each in traced.tracing.of(ProcessStarted) if each.untraced]
    assert hidden.parent.pid == traced.pid
    assert [each.process for each in traced.tracing.executed("sleep")] == [hidden.process]


def test_a_vfork_child_and_its_parent_go_on(run, compile_c):
    """vfork holds the parent until the child's exec, under guard as without."""
    program = compile_c(
        "#include <unistd.h>\n#include <sys/wait.h>\nint main(){for(int i=0;i<50;i++){int s,p=vfork();"
        'if(!p){execl("/bin/sh","sh","-c","exit 3",(char*)0);_exit(1);}'
        "waitpid(p,&s,0);if(WEXITSTATUS(s)!=3)return 1;}return 0;}"
    )
    traced = run(str(program))
    traced.finish()
    assert traced.process.returncode == 0
    assert len([each for each in traced.tracing.of(ProcessExecuted) if each.argv == ("sh", "-c", "exit 3")]) == 50


def test_a_stopped_program_stays_stopped_until_it_is_continued(run):
    """SIGSTOP and SIGCONT work through the tracer, and the parent is told of both."""
    traced = run(
        *python("""
        import os, signal, time
        pid = os.posix_spawn("/bin/sleep", ["sleep", "30"], os.environ)
        time.sleep(0.05)
        for _ in range(20):
            os.kill(pid, signal.SIGSTOP)
            assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
            assert open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] in "tT"
            os.kill(pid, signal.SIGCONT)
            assert os.WIFCONTINUED(os.waitpid(pid, os.WCONTINUED)[1])
        os.kill(pid, signal.SIGTERM)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    )
    assert traced.finish() == f"{-signal.SIGTERM}\n"


def test_a_process_that_is_traced_already_is_left_to_its_tracer(trace):
    """What another tracer holds is followed by polling, and said once to be seen less well."""
    held = subprocess.Popen(["strace", "-o", "/dev/null", "sleep", "30"])
    try:
        children = f"/proc/{held.pid}/task/{held.pid}/children"
        poll_until(lambda: [pid for pid in Path(children).read_text().split() if runs(pid, "sleep")])
        [sleeper] = [int(pid) for pid in Path(children).read_text().split() if runs(pid, "sleep")]
        tracing = trace(TracerOptions(scope=TreeScope(sleeper)))
        tracing.end()
        assert tracing.executed("sleep")
        assert [str(held.pid) in each.reason for each in tracing.of(SightLost)] == [True]
    finally:
        os.kill(sleeper, signal.SIGKILL)
        held.wait()
