"""Tells the kinds of documents apart by what is in them; the names of files say nothing."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from outrider_cdk.managed import why_tagged
from outrider_cdk.rewriting.problems import Problem, error
from outrider_cdk.rewriting.wrapping import WRAPPER, is_too_deep, locate
from outrider_cdk.templates import cloudformation, compose, copilot
from outrider_cdk.templates.plan import Draft, Plan, Target, Wish, below, rewrite

CONTAINERS: Final = "containerDefinitions"
_KNOWN: Final = (
    ("what Kubernetes takes", ("apiVersion", "kind"), "Outrider guards tasks of Amazon ECS."),
    ("a CDK project's settings", ("app", "context"), "Call Outrider.guard in the app: docs/deploy.md."),
    ("a plan or state of Terraform", ("terraform_version",), "Change the configuration: docs/deploy.md has a snippet."),
    ("what describe-services prints", ("services", "failures"), "Give the ARN of the task definition instead."),
    ("what list-task-definitions prints", ("taskDefinitionArns",), "Give one of these ARNs instead."),
)
"""Documents that people try: what it is, keys that tell, and what to do."""


def plan_document(document: Any, wish: Wish) -> Plan:
    """The plan for a document, which is any value of JSON."""
    if not isinstance(document, dict) or is_too_deep(document):
        found = locate(document)
        return Plan("document", problems=(found,) if isinstance(found, Problem) else (_unknown(),))
    for belongs, make in KINDS:
        if belongs(document):
            return _all_found(make(document, wish), wish)
    return Plan("document", problems=(_judge(document),))


def _all_found(plan: Plan, wish: Wish) -> Plan:
    """The plan, or none of it where a name was asked for that is not there."""
    problems = wish.unmatched(plan.targets) if wish.options is not None else []
    return replace(plan, edits=(), targets=(), problems=(*plan.problems, *problems)) if problems else plan


def _is_definition(document: Mapping[str, Any]) -> bool:
    """As registered or as described, perhaps with its containers missing."""
    wrapped = document.get(WRAPPER)
    return CONTAINERS in document or isinstance(wrapped, dict) or {"family"} <= document.keys()


def _plan_definition(document: Mapping[str, Any], wish: Wish) -> Plan:
    """The definition at the document's root, or the one that was described; its tags stand at the root either way."""
    draft = Draft("task definition")
    path = () if CONTAINERS in document or not isinstance(document.get(WRAPPER), dict) else (WRAPPER,)
    family = (document[WRAPPER] if path else document).get("family")
    name = family if isinstance(family, str) else ""
    name = name or "task definition"
    if why := wish.why_not(name) or why_tagged(document.get("tags")):
        draft.targets.append(Target(path, name, "left out", why))
        return draft.finished()
    rewritten = rewrite(document, wish.options)
    draft.settle(path, name, wish, rewritten.edits, below((), rewritten.problems))
    return draft.finished()


KINDS: Final[tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any], Wish], Plan]], ...]] = (
    (cloudformation.is_template, cloudformation.plan_template),
    (_is_definition, _plan_definition),
    (copilot.is_manifest, copilot.plan_manifest),
    (compose.is_compose, compose.plan_compose),
)
"""Whether a document is of the kind, and what plans it; the first that fits has it."""


def _judge(document: Mapping[str, Any]) -> Problem:
    for what, keys, remedy in _KNOWN:
        if all(key in document for key in keys):
            return error((), "not-a-definition", f"This is {what}.", remedy)
    return _unknown()


def _unknown() -> Problem:
    return error(
        (),
        "not-a-definition",
        "There is no task definition in this document.",
        "Give a task definition, a CloudFormation template, a Copilot manifest or a Compose file.",
    )
