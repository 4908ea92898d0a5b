"""In CI a skip is a failure: a capability that is missing there would otherwise be silently untested."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import database_url, migrated_database, migrated_file, postgres, store_url

__all__ = ["database_url", "migrated_database", "migrated_file", "postgres", "store_url"]

NO_SKIPS = "OUTRIDER_NO_SKIPS"
# fmt: off
SIDE_BY_SIDE = frozenset({
    "api", "arming", "collector", "constructs", "decode", "docs", "engine", "enrolment", "export",
    "falco_output", "fields", "files", "identity", "inject", "journal", "lake", "lists", "rewriting",
    "rule_tools", "rules", "rules_language", "sidecar", "wire", "world",
})
# fmt: on
"""Folders whose tests mind nothing that runs beside them: `make test` runs them two at a time."""
ALONE = ("lab", "slow")
"""Marks of tests that are by themselves all the same."""
EXCUSED = ("shared data", "no accelerator")
"""Reasons that begin so are of the machine's kind, not of a missing install step."""


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what may run beside other tests by the folder it is in."""
    here = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(here).parts[0]
        if folder in SIDE_BY_SIDE and not any(item.get_closest_marker(mark) for mark in ALONE):
            item.add_marker("side_by_side")
