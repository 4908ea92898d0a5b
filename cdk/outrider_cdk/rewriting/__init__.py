"""The rewriter: a task definition in, a guarded task definition out. Pure, and standard library only.

    rewritten = guard(definition, GuardOptions(image="…", collector_url="https://…"))
    rewritten.definition   # guarded; the very object that was given where something forbids it
    rewritten.edits        # the same as data, for splicing into text
    rewritten.problems     # errors (then nothing was changed), warnings, notes

`unguard` undoes it exactly. Both take what RegisterTaskDefinition takes, and what DescribeTaskDefinition returns.
"""

from outrider_cdk.rewriting.edits import Append, Delete, Edit, Insert, Replace, apply
from outrider_cdk.rewriting.guard import Rewritten, guard
from outrider_cdk.rewriting.options import AwsLogs, FireLens, GuardOptions
from outrider_cdk.rewriting.problems import Path, Problem, Severity, show, show_path
from outrider_cdk.rewriting.registrable import registrable
from outrider_cdk.rewriting.unguard import unguard

__all__ = [
    "Append",
    "AwsLogs",
    "Delete",
    "Edit",
    "FireLens",
    "GuardOptions",
    "Insert",
    "Path",
    "Problem",
    "Replace",
    "Rewritten",
    "Severity",
    "apply",
    "guard",
    "registrable",
    "show",
    "show_path",
    "unguard",
]
