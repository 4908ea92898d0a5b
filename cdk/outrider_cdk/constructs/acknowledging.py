"""Rules of cdk-nag that do not hold for what we make, each with its reason, said where the resource is made."""

from collections.abc import Mapping

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Write down, by rule, why a construct is as it is. Whoever uses no cdk-nag sees nothing of it."""
    if reasons:
        Validations.of(construct).acknowledge(*(Acknowledgment(id=rule, reason=why) for rule, why in reasons.items()))
