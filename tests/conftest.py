"""In CI a skip is a failure: a capability that is missing there would otherwise be silently untested."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import pytest
from databases import database_url, migrated_database, migrated_file, postgres, store_url
from xdist.scheduler import LoadFileScheduling

__all__ = ["database_url", "migrated_database", "migrated_file", "postgres", "store_url"]

NO_SKIPS = "OUTRIDER_NO_SKIPS"
# fmt: off
SIDE_BY_SIDE = frozenset({
    "api", "arming", "collector", "constructs", "decode", "docs", "engine", "enrolment", "export",
    "falco_output", "fields", "files", "identity", "inject", "journal", "lake", "lists", "rewriting",
    "rule_tools", "rules", "rules_language", "sidecar", "wire", "world",
})
"""Folders whose tests mind nothing that runs beside them: `make test` runs them two at a time."""
IN_PAIRS = (
    "image", "adversary", "attacks", "packaging/test_install.py", "network", "lab/test_attacks.py", "falco_attacks",
    "constructs/test_deployed.py", "lists/test_lab.py", "watch", "enrolment/test_lab.py", "attach", "fuzz",
    "lab/test_task.py", "reads",
)
# fmt: on
"""Folders and files whose tests have a task or namespaces of their own, mostly wait, and hold nobody to a fraction of
a second, those that take longest first: two go at once, with nothing else beside them. Those of one entry follow each
other in one process, so that they share what is made once."""
Phase = Literal["side-by-side", "in-pairs", "alone"]
EXCUSED = ("shared data", "no accelerator")
"""Reasons that begin so are of the machine's kind, not of a missing install step."""


ASKED_BY_TERMINALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


def pytest_configure() -> None:
    """Have the signals of terminals do what they do: who starts a run in the background may have had them ignored, and
    every program that a test starts would inherit that."""
    for number in ASKED_BY_TERMINALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test was skipped, without pytest's own prefix."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def fail_on_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where the environment asks for it and the reason is not excused."""
    if not os.environ.get(NO_SKIPS) or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = reason_of(report)
    if not reason.startswith(EXCUSED):
        report.outcome = "failed"
        report.longrepr = f"skipped, which {NO_SKIPS} forbids: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Look at each phase of each test."""
    report = yield
    fail_on_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Look at modules that skip themselves while they are collected."""
    report = yield
    fail_on_skip(report)
    return report


def entry_of(path: Path) -> str:
    """The entry of IN_PAIRS that a file is under, or the empty word."""
    place = path.relative_to(Path(__file__).parent)
    return next((entry for entry in IN_PAIRS if place.is_relative_to(entry)), "")


def phase_of(path: Path) -> Phase:
    """When `make test` runs the tests of a file: what is in neither list runs alone."""
    if entry_of(path):
        return "in-pairs"
    return "side-by-side" if path.relative_to(Path(__file__).parent).parts[0] in SIDE_BY_SIDE else "alone"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--phase` runs one part of what `make test` runs."""
    parser.addoption("--phase", choices=get_args(Phase), help="only the tests that run so in `make test`")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the files of other phases unread."""
    phase = config.getoption("phase")
    is_other = phase and collection_path.suffix == ".py" and phase_of(collection_path) != phase
    return True if is_other else None


class ByEntry(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    """Tests of a file follow each other in one process, and so do those of an entry of IN_PAIRS."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return entry_of(Path(__file__).parents[1] / file) or file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByEntry:
    """Who of several processes runs which test."""
    return ByEntry(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have what goes in pairs begin in the order of its list."""
    items.sort(key=lambda item: (*IN_PAIRS, "").index(entry_of(item.path)))
