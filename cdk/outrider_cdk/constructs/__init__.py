"""CDK constructs: `Outrider` guards task definitions, `OutriderCollector` deploys the collector.

They are imported from `outrider_cdk`, each when it is asked for: whoever guards alone does not load what the collector
is made of.
"""
