"""Findings to Security Hub, EventBridge and the log: the collector's setting `exports`, and the rights it needs.

The line export to standard output is what alarms and dashboard count: one JSON object for each finding that is new or
has changed, in the collector's own log group.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aws_cdk import Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from constructs import Construct

Json = Mapping[str, Any]
"""Any: an entry of `exports` in docs/exports.md; the collector judges it at its start."""

LOGGED: Final[Json] = {"kind": "lines", "name": "log", "path": "-", "format": "outrider"}


def export_entries(
    scope: Construct, *, security_hub: bool, event_bus: events.IEventBus | None, more: Sequence[Json]
) -> list[Json]:
    """All entries of the setting `exports`."""
    entries: list[Json] = [LOGGED]
    if security_hub:
        entries.append({"kind": "security-hub", "region": Stack.of(scope).region})
    if event_bus is not None:
        entries.append({"kind": "eventbridge", "bus": event_bus.event_bus_arn, "region": Stack.of(scope).region})
    return [*entries, *more]


def export_statements(
    scope: Construct, *, security_hub: bool, event_bus: events.IEventBus | None
) -> list[iam.PolicyStatement]:
    """What a collector may do with the services that it sends findings to."""
    statements = []
    if security_hub:
        # Import findings as the account's own default product: no other product, no reading, no enabling.
        statements.append(
            iam.PolicyStatement(
                sid="FindingsToSecurityHub",
                actions=["securityhub:BatchImportFindings"],
                resources=[default_product(Stack.of(scope))],
            )
        )
    if event_bus is not None:
        # Put events on this one bus, and only events that say they are from Outrider.
        statements.append(
            iam.PolicyStatement(
                sid="FindingsToEventBridge",
                actions=["events:PutEvents"],
                resources=[event_bus.event_bus_arn],
                conditions={"StringEquals": {"events:source": "outrider"}},
            )
        )
    return statements


def default_product(stack: Stack) -> str:
    """The ARN of the product that an account's own findings are imported to."""
    return f"arn:{stack.partition}:securityhub:{stack.region}:{stack.account}:product/{stack.account}/default"
