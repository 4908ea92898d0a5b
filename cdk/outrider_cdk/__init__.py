"""Deployment: constructs for AWS CDK, the rewriter of task definitions, and the documents for EC2.

    from outrider_cdk import Outrider, OutriderCollector

Those two, and what belongs to them, need the extra `cdk` and are imported when they are asked for; everything else
here is pure functions: no AWS call, no clock, nothing heavy imported. `outrider unit` prints the systemd unit;
`python -m outrider_cdk` writes the committed documents under `task-defs/` and `packaging/` into a checkout, and a test
holds them to what it would write.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outrider_cdk.constructs import MANAGED as MANAGED
    from outrider_cdk.constructs import Admission as Admission
    from outrider_cdk.constructs import Guard as Guard
    from outrider_cdk.constructs import GuardAspect as GuardAspect
    from outrider_cdk.constructs import Outrider as Outrider
    from outrider_cdk.constructs import OutriderCollector as OutriderCollector

__all__ = ["MANAGED", "Admission", "Guard", "GuardAspect", "Outrider", "OutriderCollector"]


def __getattr__(name: str) -> Any:
    """The constructs, imported when they are asked for. Raises ImportError where AWS CDK is not installed."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from outrider_cdk import constructs
    except ModuleNotFoundError as error:
        if error.name not in ("aws_cdk", "constructs", "jsii"):
            raise
        raise ImportError(f"{name} needs AWS CDK, which is not installed: pip install 'outrider[cdk]'") from error
    return getattr(constructs, name)
