"""`outrider inject` for files and standard input."""

import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from stand_in_ecs import OPTIONS, names, web, write

from outrider_cli.writing import write_whole
from outrider_wire.errors import ConfigError

START = "import sys; from outrider_cli.main import main; sys.exit(main())"
Inject = Callable[..., tuple[int, str, str]]


def test_a_file_comes_out_guarded_and_goes_back_to_the_byte(inject: Inject, tmp_path: Path) -> None:
    """In place there, by --remove in place back; between them it is what the edits say, and a second run is nothing."""
    file = tmp_path / "task.json"
    before = b'{\r\n\t"family": "web", "volumes": [ ],\r\n\t"containerDefinitions": [{"name":"a","image":"b"}]\r\n}'
    file.write_bytes(before)
    assert inject(file, *OPTIONS, "--in-place", "--accept", "no-task-role")[0] == 0
    guarded = file.read_bytes()
    assert names(json.loads(guarded)) == ["a", "outrider"]
    assert guarded.count(b"\n") == guarded.count(b"\r\n")
    assert inject(file, *OPTIONS, "--in-place", "--accept", "no-task-role")[0] == 0
    assert file.read_bytes() == guarded
    assert inject(file, "--remove", "--in-place")[0] == 0
    assert file.read_bytes() == before


def test_standard_input_to_standard_output(tmp_path: Path) -> None:
    """As a filter in a pipe: the document alone on standard output, all that is said on standard error."""
    command = [sys.executable, "-m", "outrider_cli.main", "inject", *OPTIONS]
    done = subprocess.run(command, input=json.dumps(web()).encode(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert names(json.loads(done.stdout)) == ["web", "outrider"]
    assert b"task definition: web: guarded" in done.stderr


def test_what_was_described_is_taken_as_it_is(inject: Inject, tmp_path: Path) -> None:
    """The answer of describe-task-definition, unknown keys and all."""
    described = {"taskDefinition": {**web(), "revision": 3, "comesLater": [1]}, "tags": [{"key": "a", "value": "b"}]}
    code, out, _ = inject(write(tmp_path / "d.json", described), *OPTIONS)
    assert code == 0
    made = json.loads(out)
    assert names(made["taskDefinition"]) == ["web", "outrider"]
    assert (made["tags"], made["taskDefinition"]["comesLater"]) == (described["tags"], [1])


def test_diff_dry_run_and_check_write_nothing(inject: Inject, tmp_path: Path) -> None:
    """--diff prints a diff, --dry-run what would become of it, --check exits with 1 while it is not guarded."""
    file = write(tmp_path / "t.json", web())
    before = file.read_bytes()
    code, out, _ = inject(file, *OPTIONS, "--diff")
    assert (code, '+  "pidMode": "task"' in out) == (0, True)
    code, out, err = inject(file, *OPTIONS, "--dry-run")
    assert (code, out, "would be guarded" in err) == (0, "", True)
    assert inject(file, *OPTIONS, "--check")[:2] == (1, "")
    assert file.read_bytes() == before
    inject(file, *OPTIONS, "--in-place")
    assert inject(file, *OPTIONS, "--check")[0] == 0


def test_programs_get_json(inject: Inject, tmp_path: Path) -> None:
    """--json: what was found, what was said with its line, and the text; the document goes to --output."""
    code, out, _ = inject(
        write(tmp_path / "t.json", web()), *OPTIONS, "--json", "--output", tmp_path / "new.json", "--quiet"
    )
    said = json.loads(out)
    assert (code, said["kind"], said["changed"], said["refused"]) == (0, "task definition", True, False)
    assert said["definitions"] == [{"path": "(the definition)", "name": "web", "outcome": "guarded", "why": ""}]
    assert {problem["severity"] for problem in said["problems"]} <= {"note", "warning"}
    assert said["text"] == (tmp_path / "new.json").read_text()


def test_options_reach_the_sidecar(inject: Inject, tmp_path: Path) -> None:
    """Settings, secrets, sizes, names, logs: each where the rewriter puts it."""
    options = [
        *("--token-secret", "arn:aws:secretsmanager:eu-west-1:1:secret:t", "--enrol", "token", "--memory", "160"),
        *("--memory-reservation", "80", "--cpu", "32", "--essential", "--depends-on", "--log-group", "/guard"),
        *("--setting", "heartbeat_s=5", "--setting", "OUTRIDER_RELEASE=/usr/bin/gdb", "--stop-timeout", "40"),
        *("--container-name", "guard", "--create-log-group", "--secret", "lists_key=arn:k"),
    ]
    code, out, err = inject(write(tmp_path / "t.json", web()), *OPTIONS, *options)
    assert code == 0, err
    app, guard = json.loads(out)["containerDefinitions"]
    assert app["dependsOn"] == [{"containerName": "guard", "condition": "START"}]
    assert (guard["memory"], guard["memoryReservation"], guard["cpu"], guard["essential"]) == (160, 80, 32, True)
    assert {"name": "OUTRIDER_HEARTBEAT_S", "value": "5"} in guard["environment"]
    assert {"name": "OUTRIDER_RELEASE", "value": "/usr/bin/gdb"} in guard["environment"]
    assert [each["name"] for each in guard["secrets"]] == ["OUTRIDER_TOKEN", "OUTRIDER_LISTS_KEY"]
    assert guard["logConfiguration"]["options"]["awslogs-group"] == "/guard"
    assert guard["logConfiguration"]["options"]["awslogs-region"] == "eu-west-1"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "which image?"),
        ((*OPTIONS, "--setting", "heartbeat_s"), "write NAME=VALUE"),
        ((*OPTIONS, "--setting", "a=1", "--setting", "A=2"), "is given twice"),
        ((*OPTIONS, "--setting", "heartbeet_s=1"), "Did you mean heartbeat_s?"),
        ((*OPTIONS, "--firelens", "--log-group", "g"), "the log goes to one of them"),
        ((*OPTIONS, "--create-log-group"), "are for --log-group"),
        ((*OPTIONS, "--update"), "not for files"),
        ((*OPTIONS, "--wait"), "give --update as well"),
        ((*OPTIONS, "--in-place", "--output", "x"), "not allowed with"),
        ((*OPTIONS, "--platform", "mars"), "invalid choice"),
    ],
)
def test_misuse_is_said(inject: Inject, tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    """Options that cannot be, with exit code 2 and the file as it was."""
    file = write(tmp_path / "t.json", web())
    code, out, err = inject(file, *options)
    assert (code, out, says in err) == (2, "", True), err


def test_errors_have_file_line_path_reason_and_remedy(inject: Inject, tmp_path: Path) -> None:
    """An error is said at its line of the file, and nothing is written."""
    file = tmp_path / "t.yaml"
    text = yaml.safe_dump(web(runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}), sort_keys=False)
    file.write_text(text)
    code, out, err = inject(file, *OPTIONS, "--in-place")
    line = text.splitlines().index("  operatingSystemFamily: WINDOWS_SERVER_2022_CORE") + 1
    assert code == 2
    assert f"{file}:{line}: error: runtimePlatform.operatingSystemFamily: Outrider guards Linux containers only." in err
    assert "[windows]" in err
    assert (out, file.read_text()) == ("", text)


@pytest.mark.parametrize("what", ["missing", "folder", "unreadable", "full", "gone"])
def test_files_that_cannot_be_read_or_written(inject: Inject, tmp_path: Path, what: str) -> None:
    """The system's reason, exit code 2, and nothing half written."""
    file = write(tmp_path / "t.json", web())
    source, target = {
        "missing": (tmp_path / "no.json", tmp_path / "out"),
        "folder": (tmp_path, tmp_path / "out"),
        "unreadable": (Path("/proc/self/mem"), tmp_path / "out"),
        "full": (file, Path("/dev/full/x")),
        "gone": (file, tmp_path / "no" / "x.json"),
    }[what]
    code, out, err = inject(source, *OPTIONS, "--output", target)
    assert (code, out) == (2, "")
    assert "cannot be" in err
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mode and link stay; where writing fails or somebody else wrote meanwhile, the old file is there untouched."""
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_whole(link, b"new", instead_of=b"old")
    assert (real.read_bytes(), link.is_symlink(), stat.S_IMODE(real.stat().st_mode)) == (b"new", True, 0o640)
    with pytest.raises(ConfigError, match="changed by somebody else"):
        write_whole(link, b"newer", instead_of=b"old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigError, match="No space left"):
        write_whole(link, b"newer")
    assert (real.read_bytes(), sorted(tmp_path.iterdir())) == (b"new", [link, real])


def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    """What is no file is not replaced by one."""
    file = write(tmp_path / "t.json", web())
    command = [sys.executable, "-m", "outrider_cli.main", "inject", *OPTIONS, file, "--output", "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (done.returncode, names(json.loads(done.stdout))) == (0, ["web", "outrider"])


@pytest.mark.parametrize("name", ["main.tf", "stack.py", "app.ts"])
def test_programs_are_not_edited(inject: Inject, tmp_path: Path, name: str) -> None:
    """Terraform and CDK apps are changed by hand: where that is said."""
    (tmp_path / name).write_text("resource {}")
    code, _, err = inject(tmp_path / name, *OPTIONS)
    assert (code, "docs/deploy.md" in err) == (2, True)


def test_input_without_an_end_is_refused(inject: Inject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so much is read."""

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            assert 0 < size < 1 << 30
            return b" " * size

    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": Endless(), "isatty": lambda self: False})())
    code, _, err = inject("-", *OPTIONS)
    assert (code, "is larger than" in err) == (2, True)


def test_links_in_a_circle_and_a_full_output_are_said(inject: Inject, tmp_path: Path) -> None:
    """Neither is a traceback."""
    file, loop = tmp_path / "task.json", tmp_path / "loop"
    file.write_text(json.dumps({"family": "web", "containerDefinitions": [{"name": "web", "image": "web"}]}))
    loop.symlink_to(loop)
    code, _, err = inject(file, *OPTIONS, "--output", loop)
    assert code == 2 and "cannot be written" in err
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", START, "inject", str(file), *OPTIONS],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert b"standard output: cannot be written" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_stays_its_owners(inject: Inject, tmp_path: Path) -> None:
    """Run by root, the file of somebody else stays that somebody's."""
    file = tmp_path / "task.json"
    file.write_text(json.dumps({"family": "web", "containerDefinitions": [{"name": "web", "image": "web"}]}))
    os.chown(file, 1234, 4321)
    assert inject(file, *OPTIONS, "--in-place")[0] == 0
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 4321)


@pytest.mark.parametrize("value", ["false", "False", "perhaps"])
def test_a_definition_that_is_tagged_to_be_left_alone_is(inject: Inject, tmp_path: Path, value: str) -> None:
    """As registered and as described, there and back: the file stays, and standard error says why."""
    tags = [{"key": "team", "value": "web"}, {"key": "OutriderManaged", "value": value}]
    for document in ({**web(), "tags": tags}, {"taskDefinition": web(), "tags": tags}):
        file = write(tmp_path / "t.json", document)
        before = file.read_bytes()
        for asked in (OPTIONS, ["--remove"]):
            code, out, err = inject(file, *asked, "--in-place")
            assert (code, out, file.read_bytes()) == (0, "", before)
            assert f": left out (tagged OutriderManaged={value.lower()}" in err
        assert inject(file, *OPTIONS, "--check")[0] == 0


@pytest.mark.parametrize("tags", [[{"key": "OutriderManaged", "value": "true"}], [{"key": "OutriderManaged"}], {}, [5]])
def test_other_tags_leave_nothing_out(inject: Inject, tmp_path: Path, tags: object) -> None:
    """The tag with `true`, or with no value, and what is no list of tags."""
    code, out, _ = inject(write(tmp_path / "t.json", {**web(), "tags": tags}), *OPTIONS)
    assert (code, names(json.loads(out))) == (0, ["web", "outrider"])
