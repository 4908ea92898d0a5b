"""Finds the task definitions in a document, whatever kind of document it is, and plans the edits for each.

`plan_document` takes what a JSON or YAML file says. Pure: no clock, no input, no output.
"""

from outrider_cdk.templates.kinds import plan_document
from outrider_cdk.templates.plan import Plan, Target, Wish

__all__ = ["Plan", "Target", "Wish", "plan_document"]
