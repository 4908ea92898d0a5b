"""The options of `outrider lab` describe a task or a container instance, and what makes no sense is refused."""

import argparse

import pytest

from outrider_lab.cli import MISUSE, add_arguments, make_settings, run
from outrider_lab.host.cli import make_host_settings


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(list(words))


def test_a_task_is_the_default():
    """One task, its command, and the containers beside it."""
    arguments = parse("--container", "db=sleep 5", "--", "echo", "hello")
    assert arguments.mode == "task"
    settings = make_settings(arguments, ["echo", "hello"])
    assert settings.main.command == ("echo", "hello")
    assert [one.name for one in settings.others] == ["db"]


def test_an_instance_has_as_many_tasks_as_are_named():
    """The first runs the command, each other is a family of its own, all in one network mode."""
    arguments = parse(
        "--mode", "host", "--network", "bridge", "--task", "web=sleep 5", "--task", "db=sleep 6", "--", "x"
    )
    first, web, db = make_host_settings(arguments, ["x"]).tasks
    assert (first.family, first.main.command) == ("app", ("x",))
    assert (web.family, web.main.command) == ("web", ("/bin/sh", "-c", "sleep 5"))
    assert {task.network for task in (first, web, db)} == {"bridge"}


@pytest.mark.parametrize(
    "words",
    [
        ("--mode", "host", "--task", "web", "--", "x"),
        ("--mode", "host", "--task", "web=a", "--task", "web=b", "--", "x"),
        ("--mode", "host", "--task", "app=a", "--", "x"),
        ("--task", "web=a", "--", "x"),
        ("--container", "=a", "--", "x"),
        ("--mode", "host"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    """With a sentence on standard error, before anything is made."""
    assert run(parse(*words)) == MISUSE
    assert capsys.readouterr().err.startswith("outrider lab: ")


def test_a_stand_in_takes_the_place_of_the_host_process():
    """And a lab may have neither it nor a collector."""
    arguments = parse("--mode", "host", "--sidecar-command", "sleep 9", "--no-collector", "--", "x")
    settings = make_host_settings(arguments, ["x"])
    assert (settings.command, settings.collector_command) == (("sleep", "9"), ())
