"""The documents that are committed: each path below the checkout, and what makes its text."""

import json
from collections.abc import Callable
from typing import Any, Final

from outrider_cdk import daemon, ssm
from outrider_cdk.examples import EXAMPLES, Example, cloudformation, terraform
from outrider_cdk.limits import GIB
from outrider_cdk.unit import systemd_unit

EXAMPLE_CPUS: Final = 4
EXAMPLE_BYTES: Final = 16 * GIB
"""The machine of the examples."""


def to_json(document: dict[str, Any]) -> str:
    """JSON as it is committed: keys in the order they were made in, two spaces, a newline at the end."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _before(example: Example) -> Callable[[], str]:
    return lambda: to_json(dict(example.before))


def _after(example: Example) -> Callable[[], str]:
    return lambda: to_json(example.guarded().definition)


DOCUMENTS: Final[dict[str, Callable[[], str]]] = {
    "packaging/systemd/outrider.service": lambda: systemd_unit(cpus=EXAMPLE_CPUS, machine_bytes=EXAMPLE_BYTES),
    "packaging/ssm/outrider.json": lambda: to_json(ssm.document()),
    "task-defs/ec2-daemon.json": lambda: to_json(daemon.task_definition()),
    "task-defs/ec2-daemon-service.json": lambda: to_json(daemon.daemon_service()),
    "task-defs/managed-daemon.json": lambda: to_json(daemon.daemon_task_definition()),
    "task-defs/managed-daemon-create.json": lambda: to_json(daemon.managed_daemon()),
    "task-defs/task-role-policy.json": lambda: to_json(daemon.task_role_policy()),
    **{f"task-defs/before/{name}.json": _before(example) for name, example in EXAMPLES.items()},
    **{f"task-defs/after/{name}.json": _after(example) for name, example in EXAMPLES.items()},
    "task-defs/terraform/before.tf": lambda: terraform(guarded=False),
    "task-defs/terraform/after.tf": lambda: terraform(guarded=True),
    "task-defs/cloudformation/before.yaml": lambda: cloudformation.BEFORE,
    "task-defs/cloudformation/after.yaml": cloudformation.after,
}
