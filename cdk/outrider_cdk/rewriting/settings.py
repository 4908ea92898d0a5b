"""The sidecar's settings by name, so that a misspelt one is refused where it is written."""

import difflib
from typing import Final

NAMES: Final = frozenset(
    (
        "collector_url",
        "collector_ca_file",
        "token",
        "token_file",
        "enrol",
        "collector_name",
        "sts_endpoint",
        "journal_dir",
        "journal_limit_bytes",
        "heartbeat_s",
        "stop_timeout_s",
        "rules",
        "intel",
        "lists_key",
        "lists_limit_bytes",
        "tracing_off",
        "release",
        "expected_drift",
        "file_watch_limit",
        "send_events",
        "findings_file",
        "falco_output",
        "falco_ca_file",
        "hostname",
        "metadata_uri",
        "mode",
        "guard_host",
        "agent_uri",
        "include",
        "exclude",
        "respond",
        "respond_budget_ms",
        "respond_limit",
        "packets",
        "attach",
    )
)
"""As docs/settings.md has them; a test compares them with the sidecar's own."""

OFF: Final = ("0", "false", "off", "no")
"""How a switch is written that is off."""


def nearest(name: str) -> str:
    """The setting that somebody may have meant; empty where none is near."""
    return next(iter(difflib.get_close_matches(name.lower(), sorted(NAMES), n=1)), "")
