"""What the image's target `collector` is and takes: its port, its user, its folder, its settings. Nothing of AWS.

A test holds all of it to the Dockerfile and to the collector's own settings.
"""

import difflib
from collections.abc import Mapping
from typing import Final

PORT: Final = 8440
DATA_DIR: Final = "/data"
USER_ID: Final = 10001
ALIVE_PATH: Final = "/healthz"
READY_PATH: Final = "/readyz"
ALIVE_COMMAND: Final = (
    "CMD",
    "python",
    "-c",
    f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}{ALIVE_PATH}', timeout=4)",
)
"""The image has no curl, and needs none."""

PREFIX: Final = "OUTRIDER_COLLECTOR_"
OURS: Final = frozenset((
    "listen", "data", "database", "token", "read_token", "admin_token", "lists_key", "name", "enrolment",
    "aws_accounts", "aws_task_roles", "aws_instance_roles", "aws_regions", "lake", "lake_region", "lake_days",
    "exports", "trusted_proxies",
))  # fmt: skip
"""Settings that follow from the construct's own arguments."""
FREE: Final = frozenset((
    "occurrence_days", "batch_days", "finding_days", "audit_days", "silence_intervals", "silence_check_s",
    "max_batch_bytes", "body_timeout_s", "request_timeout_s", "max_connections", "metrics_open",
    "ready_lag_bytes", "lists", "lists_refresh_s", "gap_grace_s", "absence_s", "agent_bytes_per_s",
    "agent_burst_bytes", "spool_bytes", "enrolment_refusals", "sts_endpoint", "lake_endpoint", "lake_flush_s",
    "lake_flush_rows", "lake_flush_bytes",
))  # fmt: skip
"""Settings that a user may give."""
UNUSED: Final = frozenset((
    "token_file", "admin_token_file", "lists_key_file", "exports_file", "collector_id", "tls_cert", "tls_key",
))  # fmt: skip
"""Settings that name files of the image, or that each collector must have for itself."""

DEFAULTS: Final[Mapping[str, str]] = {
    # Fargate takes a minute or two to start a task anew: until then nothing is told of what it alone has on its disk.
    "absence_s": "300",
}


def environment_of(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings as the collector reads them from its environment; empty ones are left out."""
    return {PREFIX + name.upper(): value for name, value in settings.items() if value}


def check_settings(settings: Mapping[str, str]) -> None:
    """Raises ValueError where a setting is none, or is not the user's to give."""
    for name in settings:
        if name in OURS:
            raise ValueError(f"settings: {name!r} follows from the construct's own arguments; use them instead")
        if name in UNUSED:
            raise ValueError(f"settings: {name!r} cannot be given here: it names a file, or is each collector's own")
        if name not in FREE:
            near = difflib.get_close_matches(name, FREE | OURS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"settings: the collector has no setting {name!r}{hint}")
