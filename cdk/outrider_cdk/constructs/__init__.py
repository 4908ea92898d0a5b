"""CDK constructs: `Outrider` guards task definitions, `OutriderCollector` deploys the collector."""

from outrider_cdk.constructs.aspect import MANAGED, GuardAspect
from outrider_cdk.constructs.collector.choices import Admission
from outrider_cdk.constructs.collector.construct import OutriderCollector
from outrider_cdk.constructs.guarding import Guard
from outrider_cdk.constructs.outrider import Outrider

__all__ = ["MANAGED", "Admission", "Guard", "GuardAspect", "Outrider", "OutriderCollector"]
