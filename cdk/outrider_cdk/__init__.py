"""Deployment: constructs for AWS CDK, the rewriter of task definitions, and the documents for EC2.

    from outrider_cdk import Outrider, OutriderCollector

Those two, and what belongs to them, need the extra `cdk` and are imported when they are asked for; everything else
here is pure functions: no AWS call, no clock, nothing heavy imported. `outrider unit` prints the systemd unit;
`python -m outrider_cdk` writes the committed documents under `task-defs/` and `packaging/` into a checkout, and a test
holds them to what it would write.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from outrider_cdk.constructs.aspect import MANAGED as MANAGED
    from outrider_cdk.constructs.aspect import GuardAspect as GuardAspect
    from outrider_cdk.constructs.collector.choices import Admission as Admission
    from outrider_cdk.constructs.collector.construct import OutriderCollector as OutriderCollector
    from outrider_cdk.constructs.guarding import Guard as Guard
    from outrider_cdk.constructs.outrider import Outrider as Outrider

__all__ = ["MANAGED", "Admission", "Guard", "GuardAspect", "Outrider", "OutriderCollector"]

_PLACES: Final = {
    "MANAGED": "aspect",
    "Admission": "collector.choices",
    "Guard": "guarding",
    "GuardAspect": "aspect",
    "Outrider": "outrider",
    "OutriderCollector": "collector.construct",
}


def __getattr__(name: str) -> Any:
    """The constructs, imported when they are asked for. Raises ImportError where AWS CDK is not installed."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.constructs.{_PLACES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("aws_cdk", "constructs", "jsii"):
            raise
        raise ImportError(f"{name} needs AWS CDK, which is not installed: pip install 'outrider[cdk]'") from error
