"""What is exported where: JSON or TOML, and errors that name the entry and the nearest word that is known."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_collector.export.configuration import (
    KINDS,
    EventBridge,
    Export,
    Falcosidekick,
    Lines,
    SecurityHub,
    load_exports,
)
from outrider_collector.export.running import kind_of, make_target
from outrider_wire.errors import ConfigError

TOML = """
[[exports]]
kind = "security-hub"
region = "eu-west-1"

[[exports]]
kind = "eventbridge"
name = "to-the-bus"
bus = "security"
severity = "MEDIUM"
types = ["Execution:*"]
"""


def test_json_toml_and_a_file(tmp_path: Path) -> None:
    """A list in the setting, another in the file; the name is the kind unless it is given."""
    (tmp_path / "exports.toml").write_text(TOML)
    listed = json.dumps([{"kind": "falcosidekick", "url": "http://sidekick:2801/"}])
    sidekick, hub, bus = load_exports(listed, str(tmp_path / "exports.toml"))
    assert sidekick == Falcosidekick(name="falcosidekick", url="http://sidekick:2801/")
    assert hub == SecurityHub(name="security-hub", region="eu-west-1") and not hub.news_only
    assert isinstance(bus, EventBridge) and bus.name == "to-the-bus" and bus.news_only
    assert load_exports(TOML, "") == [hub, bus]
    assert load_exports(json.dumps({"exports": [{"kind": "lines"}]}), "") == [Lines(name="lines")]
    assert load_exports(" ", "") == []


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"kind": "securityhub"}, "export 1: there is no kind 'securityhub'; did you mean 'security-hub'?"),
        ({"kind": "carrier-pigeon"}, "there are security-hub, eventbridge, falcosidekick, webhook, lines, syslog"),
        ({"region": "x"}, "export 1: there is no kind"),
        ({"kind": "lines", "pth": "x"}, "export 1 (lines): unknown key 'pth'; did you mean 'path'?"),
        ({"kind": "lines", "severity": "HUGE"}, "export 1 (lines): Invalid enum value 'HUGE' - at `$.severity`"),
        ({"kind": "lines", "states": []}, "states is empty"),
        ({"kind": "lines", "name": "Über"}, "must be of small letters"),
        ({"kind": "lines", "tries": 0}, "$.tries"),
        ({"kind": "webhook", "url": "http://x/"}, "missing required field `secret_file`"),
        ({"kind": "falcosidekick", "url": "ftp://x/"}, "http://HOST:PORT or https://HOST:PORT"),
        ({"kind": "falcosidekick", "url": "http://user:password@x/"}, "without a user or password"),
        ({"kind": "falcosidekick", "url": "http://x:99999/"}, "export 1 (falcosidekick): url"),
        ({"kind": "falcosidekick", "url": "http://x/a b"}, "percent-encode"),
        ({"kind": "syslog", "url": "http://x/"}, "udp://HOST:PORT"),
        ({"kind": "security-hub", "account": "12"}, "$.account"),
        ("lines", "must be a table"),
    ],
)
def test_what_is_wrong_is_named(entry: Any, says: str) -> None:
    """With the entry, and the nearest key or kind; no secret of an address is shown."""
    with pytest.raises(ConfigError) as caught:
        load_exports(json.dumps([entry]), "")
    assert says in str(caught.value) and "password@" not in str(caught.value)


def test_lists_that_are_none(tmp_path: Path) -> None:
    """Neither JSON nor TOML, a missing file, two of one name, too many."""
    for listed, says in {
        "[{]": "neither JSON nor TOML",
        "[[exports]\n": "neither JSON nor TOML",
        "{}": "must be a list",
        '{"export": []}': "unknown key 'export'",
        '[{"kind": "lines"}, {"kind": "lines"}]': "export 2: another is called 'lines'",
        json.dumps([{"kind": "lines", "name": f"n{n}"} for n in range(33)]): "there may be 32",
        "[" * 100_000: "neither JSON nor TOML",
    }.items():
        with pytest.raises(ConfigError, match=says):
            load_exports(listed, "")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_exports("", str(tmp_path / "none.toml"))


@given(st.text(max_size=60) | st.recursive(st.none() | st.text(max_size=5) | st.integers(), st.lists).map(json.dumps))
def test_any_text_is_exports_or_an_error(text: str) -> None:
    """There is no third way."""
    try:
        assert all(isinstance(export, Export) for export in load_exports(text, ""))
    except ConfigError:
        pass


def test_each_kind_has_a_target(tmp_path: Path) -> None:
    """Made without a connection; one that names what is not there is refused."""
    (tmp_path / "secret").write_text("0123456789abcdef")
    needed = {
        "falcosidekick": {"url": "http://127.0.0.1:1/"},
        "webhook": {"url": "https://127.0.0.1:1/", "secret_file": str(tmp_path / "secret")},
        "syslog": {"url": "tls://127.0.0.1"},
    }
    for kind in KINDS:
        (export,) = load_exports(json.dumps([{"kind": kind} | needed.get(kind, {})]), "")
        assert kind_of(export) == kind
        make_target(export).close()
    for entry, says in (
        ({"kind": "lines", "path": str(tmp_path / "no" / "file")}, "directory"),
        ({"kind": "webhook", "url": "http://x/", "secret_file": str(tmp_path / "no")}, "secret_file"),
        ({"kind": "syslog", "url": "tls://x", "ca_file": str(tmp_path / "no")}, "ca_file"),
    ):
        (export,) = load_exports(json.dumps([entry]), "")
        with pytest.raises(ConfigError, match=says):
            make_target(export)
