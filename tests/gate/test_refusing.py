"""Programs that are not of the image are refused before they run, and nothing else is."""

import os
import subprocess

MAKE_EVIL = "cp /bin/touch /box/evil; "
DENIED = "Operation not permitted"


def test_a_new_program_is_refused_and_never_runs(box, gate):
    """EPERM, no trace of it, and a finding of the rule that says so."""
    gated = gate()
    done = box.run(MAKE_EVIL + "/box/evil /box/ran; echo $?; ls /box")
    assert DENIED in done.stderr
    assert done.stdout.split() == ["126", "evil"]
    gated.until(lambda: gated.found("Refused:"), "the finding")
    (finding,) = gated.found("Refused:")
    assert finding["rule"] == "New Binary Executed"
    assert finding["type"] == "Execution:Runtime/NewBinaryExecuted"
    assert finding["process"]["exe"] == "/box/evil"
    assert finding["evidence"]["response"].startswith("refused")
    assert "cp /bin/touch" in finding["evidence"]["started_by"]
    assert "proc.argv" not in finding["evidence"]
    assert gated.counts()["denied"] == 1


def test_an_ordinary_program_is_as_without_a_gate(box, gate):
    """Output, error output and exit code are the same, and the kernel asks once for each file."""
    script = "/usr/bin/env printf 'a\\nb'; ls /nowhere; exit 7"
    before = box.run(script)
    gated = gate()
    after = box.run(script)
    assert (after.stdout, after.returncode) == (before.stdout, 7)
    assert after.stderr == before.stderr
    before_counts = gated.counts()
    assert before_counts["let_be"] >= 4, "sh, ld.so, env, ls, printf"
    for _ in range(20):
        assert box.run(script).returncode == 7
    counts = gated.counts()
    assert counts["put"] == 0
    assert counts["asked"] - before_counts["asked"] <= 2, "the kernel asked again about files that had not changed"


def test_a_new_script_and_a_new_interpreter_are_refused(box, gate):
    """The kernel opens a script and then its interpreter, and each is asked about."""
    gate()
    done = box.run(
        "printf '#!/bin/sh\\ntouch /box/ran' > /box/new.sh; chmod +x /box/new.sh; /box/new.sh; echo $?;"
        "cp /bin/dash /box/shell; printf '#!/box/shell\\ntouch /box/ran' > /box/own.sh; chmod +x /box/own.sh;"
        "/box/own.sh; echo $?; ls /box"
    )
    assert done.stdout.split() == ["126", "126", "new.sh", "own.sh", "shell"]


def test_a_program_of_the_image_that_was_changed_is_asked_about_again(box, gate):
    """It ran before, so the kernel had been told to ask no more; writing to it, also through a mapping, ends that."""
    gated = gate()
    assert box.run("/usr/bin/who >/dev/null; /usr/bin/id >/dev/null").returncode == 0
    assert gated.counts()["let_be"] >= 4
    done = box.run("cat /bin/touch > /usr/bin/who; /usr/bin/who /box/ran; echo $?; ls /box")
    assert done.stdout.split() == ["126"]
    program = (
        "import mmap, os, sys; f = os.open('/usr/bin/id', os.O_RDWR); m = mmap.mmap(f, 0); m[0] = m[0]; m.close();"
        "os.close(f)"
    )
    assert box.python(program).wait(20) == 0
    gated.until(lambda: DENIED in box.run("/usr/bin/id").stderr, "the refusal of what was changed through a mapping")


def test_a_program_without_a_name_is_refused(box, gate):
    """Deleted before it starts: it is asked about while it has no name in any directory."""
    gated = gate()
    done = box.run(
        "cp /bin/touch /box/evil; exec 7</box/evil; rm /box/evil; /proc/self/fd/7 /box/ran; echo $?; ls /box"
    )
    assert done.stdout.split() == ["126"], done
    gated.until(lambda: gated.found("Refused:"), "the finding")
    assert gated.found("Refused:")[0]["rule"] == "Fileless Execution"


def test_what_the_kernel_does_not_ask_about_runs(box, gate):
    """Documented: a memfd has no file system that could be marked, and ld.so and sh are what is started by them."""
    gated = gate()
    program = (
        "import os; f = os.memfd_create('x'); os.write(f, open('/bin/true', 'rb').read());"
        "print(os.spawnve(os.P_WAIT, f'/proc/self/fd/{f}', ['x'], {}))"
    )
    assert box.python(program).communicate(timeout=20)[0] == "0\n"
    loader = next(p for p in ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1") if os.path.exists(p))
    done = box.run(MAKE_EVIL + f"{loader} /box/evil /box/ran; printf 'echo hi' > /box/s; sh /box/s")
    assert done.stdout == "hi\n"
    assert box.run("ls /box/ran").returncode == 0
    assert gated.counts()["denied"] == 0


def test_a_volume_of_the_machine_is_covered_inside_and_not_outside(box, gate):
    """The mount is covered, not the machine's file system: the machine's own programs are never asked about."""
    gated = gate()
    assert DENIED in box.run("cp /bin/touch /volume/evil; /volume/evil /box/ran").stderr
    asked = gated.counts()["asked"]
    assert subprocess.run([box.volume / "evil", box.volume / "ran"], check=False).returncode == 0
    assert gated.counts()["asked"] == asked
    inside = f"/proc/{box.pid}/root/box"
    box.run(MAKE_EVIL)
    assert subprocess.run([f"{inside}/evil", box.volume / "ran2"], check=False).returncode == 0, "a process of the host"
    assert (box.volume / "ran2").exists()


def test_a_dry_run_tells_and_lets_go(box, gate):
    """The finding says what would have been; the program runs."""
    gated = gate(dry_run=True)
    assert box.run(MAKE_EVIL + "/box/evil /box/ran; ls /box").stdout.split() == ["evil", "ran"]
    gated.until(lambda: gated.found("Would have been refused:"), "the finding")
    assert gated.found("Would have been refused:")[0]["evidence"]["response"].startswith("dry run")
    assert not gated.found("Refused:")


def test_expected_drift_is_not_refused(box, gate):
    """What the operator calls ordinary work starts; its neighbour does not."""
    gate(expected_drift=[{"directory": "/box"}])
    assert box.run(MAKE_EVIL + "/box/evil /box/ran; ls /box").stdout.split() == ["evil", "ran"]
    assert DENIED in box.run("cp /bin/true /usr/local/bin/evil; /usr/local/bin/evil").stderr


def test_a_build_goes_on_whose_programs_nobody_has_told_of(box, gate):
    """The engine has not heard of make: whose child it is that starts something is read when that is decided."""
    gated = gate()
    makefile = r"all:\n\tcp /bin/echo new\n\t./new built\n"
    done = box.run(f"cd /box; printf '{makefile}' > Makefile; make -s; exec ./new again")
    assert done.stdout == "built\n"
    assert DENIED in done.stderr
    gated.until(lambda: gated.found("Refused:"), "the finding")
    (finding,) = gated.found("Refused:")
    assert "make -s" in finding["evidence"]["started_by"], "the shell's own command line"


def test_without_a_rule_that_responds_nobody_is_refused(box, gate):
    """The gate asks, and the answer is always yes."""
    gated = gate(rules="- list: unused\n  items: []\n")
    assert box.run(MAKE_EVIL + "/box/evil /box/ran; ls /box").stdout.split() == ["evil", "ran"]
    gated.until(lambda: gated.status["put"] == 1, "the question")
    assert gated.counts()["denied"] == 0


def test_a_change_of_permissions_alone_is_not_refused(box, gate):
    """The inode is new, its content is not: the watch tells nothing else of it."""
    gated = gate()
    assert box.run("chmod 0711 /usr/bin/who; /usr/bin/who >/dev/null; echo $?").stdout == "0\n"
    gated.until(lambda: gated.status["put"] == 1, "the question")
