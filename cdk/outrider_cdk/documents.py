"""The documents that are committed: each path below the checkout, and what makes its text."""

import json
from collections.abc import Callable
from typing import Any, Final

from outrider_cdk import daemon, ssm
from outrider_cdk.limits import GIB
from outrider_cdk.unit import systemd_unit

EXAMPLE_CPUS: Final = 4
EXAMPLE_BYTES: Final = 16 * GIB
"""The machine of the examples."""


def to_json(document: dict[str, Any]) -> str:
    """JSON as it is committed: keys in the order they were made in, two spaces, a newline at the end."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


DOCUMENTS: Final[dict[str, Callable[[], str]]] = {
    "packaging/systemd/outrider.service": lambda: systemd_unit(cpus=EXAMPLE_CPUS, machine_bytes=EXAMPLE_BYTES),
    "packaging/ssm/outrider.json": lambda: to_json(ssm.document()),
    "task-defs/ec2-daemon.json": lambda: to_json(daemon.task_definition()),
    "task-defs/ec2-daemon-service.json": lambda: to_json(daemon.daemon_service()),
    "task-defs/managed-daemon.json": lambda: to_json(daemon.daemon_task_definition()),
    "task-defs/managed-daemon-create.json": lambda: to_json(daemon.managed_daemon()),
    "task-defs/task-role-policy.json": lambda: to_json(daemon.task_role_policy()),
}
