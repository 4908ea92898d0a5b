"""Falco's three stock files, unchanged: everything in them loads, at once and fast, and their rules hold."""

import time
from typing import Any

import pytest

from outrider_rules import Catalogue, RulesError, RuleSet, RuleSource, describe, load_rules
from outrider_rules.gather import Definitions

MAX_LOAD_S = 1.0
TRIES = 5
MAX_EVENT_US = {"execve": 60.0, "connect": 40.0, "openat": 40.0}

PROCESS: dict[str, Any] = {
    "proc.name": "curl",
    "proc.cmdline": "curl -sSf https://example.org/x/y/z",
    "proc.args": "-sSf https://example.org/x/y/z",
    "proc.exe": "curl",
    "proc.exepath": "/usr/bin/curl",
    "proc.pname": "bash",
    "proc.pcmdline": "bash -c curl",
    "proc.cwd": "/srv/app/",
    "proc.aname": ["bash", "node", "sh", "init"],
    "proc.aname[2]": "node",
    "proc.aname[3]": "sh",
    "proc.tty": 0,
    "proc.vpid": 7,
    "proc.is_exe_upper_layer": False,
    "proc.is_exe_from_memfd": False,
    "proc.env": "PATH=/usr/bin",
    "container.id": "abc",
    "container.privileged": False,
    "container.image.repository": "example/app",
    "user.name": "root",
    "user.uid": 0,
    "user.loginuid": -1,
    "thread.cap_effective": "CAP_CHOWN CAP_KILL",
    "thread.cap_permitted": "CAP_CHOWN CAP_KILL",
    "evt.num": 1,
    "evt.rawres": 0,
    "evt.res": "SUCCESS",
}
FILE = {"fd.typechar": "f", "fd.num": 3, "evt.is_open_write": False, "evt.is_open_read": False}
CONNECTION = {
    "fd.typechar": "4",
    "fd.num": 3,
    "fd.type": "ipv4",
    "fd.l4proto": "tcp",
    "fd.name": "10.0.0.5:40000->93.184.216.34:443",
    "fd.ip": ["10.0.0.5", "93.184.216.34"],
    "fd.net": ["10.0.0.5", "93.184.216.34"],
    "fd.sip": "93.184.216.34",
    "fd.snet": "93.184.216.34",
    "fd.sport": 443,
}


def event(event_type: str, **values: Any) -> dict[str, Any]:
    """An event of a type with ordinary values, and the given ones (`__` for the dot)."""
    more = FILE if event_type == "openat" else CONNECTION if event_type == "connect" else {}
    return {**PROCESS, **more, "evt.type": event_type} | {name.replace("__", "."): v for name, v in values.items()}


@pytest.fixture(scope="module")
def ruleset(stock: list[RuleSource], stock_catalogue: Catalogue) -> RuleSet:
    """The three files, loaded."""
    return load_rules(stock, stock_catalogue)


def test_everything_in_the_stock_files_loads(stock: list[RuleSource], ruleset: RuleSet) -> None:
    """All 93 rules with their macros and lists; the 12 that are off by default are off."""
    definitions = Definitions()
    for source in stock:
        definitions.add_source(source)
    assert len(ruleset) == 93
    assert len(definitions.macros) > 150
    assert len(definitions.lists) > 80
    assert sum(row.armed == "armed" for row in describe(ruleset)) == 81


def test_loading_and_compiling_for_every_type_takes_less_than_a_second(
    stock: list[RuleSource], stock_catalogue: Catalogue
) -> None:
    """Parse, check and compile for every type of event the files name, at the best of some times."""
    for _ in range(TRIES):
        start = time.thread_time()
        loaded = load_rules(stock, stock_catalogue)
        loaded.prepare(loaded.types)
        took_s = time.thread_time() - start
        if took_s < MAX_LOAD_S:
            break
    assert took_s < MAX_LOAD_S


@pytest.mark.parametrize("event_type", sorted(MAX_EVENT_US))
def test_an_event_against_every_rule_is_quick(ruleset: RuleSet, event_type: str) -> None:
    """The median over two thousand evaluations of an ordinary event stays in the budget."""
    context = event(event_type, fd__name="/srv/app/x") if event_type == "openat" else event(event_type)
    taken: list[float] = []
    for _ in range(2_000):
        start = time.thread_time()
        ruleset.evaluate(event_type, context)
        taken.append(time.thread_time() - start)
    assert sorted(taken)[1_000] * 1e6 < MAX_EVENT_US[event_type]


@pytest.mark.parametrize(
    ("rule", "event_type", "values"),
    [
        ("Execution from /dev/shm", "execve", {"proc__exe": "/dev/shm/x"}),
        ("Drop and execute new binary in container", "execve", {"proc__is_exe_upper_layer": True}),
        ("Fileless execution via memfd_create", "execve", {"proc__is_exe_from_memfd": True}),
        ("Find AWS Credentials", "execve", {"proc__name": "grep", "proc__args": "-r AWS_ACCESS_KEY_ID /"}),
        ("Read sensitive file untrusted", "openat", {"fd__name": "/etc/shadow", "evt__is_open_read": True}),
        (
            "Directory traversal monitored file read",
            "openat",
            {"fd__name": "/etc/passwd", "fd__nameraw": "../../../etc/passwd", "evt__is_open_read": True}
            | {"proc__pname": "node"},
        ),
        (
            "Disallowed SSH Connection Non Standard Port",
            "connect",
            {"proc__exe": "/usr/bin/ssh", "proc__name": "ssh"},
        ),
    ],
)
def test_stock_rules_hold_for_what_they_are_named_after(
    ruleset: RuleSet, rule: str, event_type: str, values: dict[str, Any]
) -> None:
    """Each attack makes its rule hold, and the same event without it does not."""
    assert rule in [found.name for found in ruleset.evaluate(event_type, event(event_type, **values))]
    assert rule not in [found.name for found in ruleset.evaluate(event_type, event(event_type))]


def test_compiled_stock_rules_agree_with_the_interpreter(ruleset: RuleSet) -> None:
    """For ordinary and odd events of every type, the same rules hold either way."""
    for event_type in sorted(ruleset.types):
        for values in ({}, {"container__id": "host"}, {"proc__name": "sshd", "fd__name": "/etc/pam.d/x"}):
            context = event(event_type, **values)
            expected = [rule.name for rule in ruleset.rules if rule.armed and rule.holds(context)]
            assert [rule.name for rule in ruleset.evaluate(event_type, context)] == expected


def test_the_first_file_cut_anywhere_is_refused_or_whole(stock: list[RuleSource], stock_catalogue: Catalogue) -> None:
    """Cut at a hundred places, a real file loads or is refused with places, and never half."""
    raw = stock[0].text
    assert isinstance(raw, bytes)
    for size in range(0, len(raw), len(raw) // 100):
        try:
            load_rules([RuleSource("cut.yaml", raw[:size])], stock_catalogue)
        except RulesError as error:
            assert all(problem.line >= 1 for problem in error.problems)
