"""CloudFormation templates: every AWS::ECS::TaskDefinition, and the services that say how it is run."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from outrider_cdk.managed import why_tagged
from outrider_cdk.rewriting.casing import edits_to_template, path_to_template, to_api
from outrider_cdk.rewriting.problems import Path, Problem, error, note, warning
from outrider_cdk.rewriting.shapes import is_intrinsic
from outrider_cdk.templates.cloudformation_services import judged_by_services
from outrider_cdk.templates.plan import Draft, Plan, Target, Wish, at, below, rewrite

DEFINITION: Final = "AWS::ECS::TaskDefinition"
STACK: Final = "AWS::CloudFormation::Stack"
_OWN_DEFINITION: Final = ("AWS::ECS::ExpressGatewayService", "AWS::Batch::JobDefinition")
_LOOP: Final = "Fn::ForEach::"


def is_template(document: Mapping[str, Any]) -> bool:
    """Whether it has resources, as only templates do."""
    return "Resources" in document or "AWSTemplateFormatVersion" in document


def plan_template(template: Mapping[str, Any], wish: Wish) -> Plan:
    """Every definition of the template; services are judged for those that are guarded."""
    draft = Draft("CloudFormation template")
    resources = template.get("Resources")
    if not isinstance(resources, dict):
        draft.problems.append(error(("Resources",), "no-resources", "There is no object here.", "Write Resources."))
        return draft.finished()
    found = list(_resources(resources, ("Resources",)))
    for path, name, resource in found:
        if resource.get("Type") == DEFINITION:
            _plan_definition(draft, path, name, resource, wish)
    draft.problems += _elsewhere(resources, found)
    if not draft.targets:
        says = f"The template has no {DEFINITION}."
        draft.problems.append(error(("Resources",), "no-definition", says, "Give the template that has it."))
    if wish.options is not None:
        draft.problems = judged_by_services(draft, found)
    return draft.finished()


def _plan_definition(draft: Draft, path: Path, name: str, resource: Mapping[str, Any], wish: Wish) -> None:
    properties = resource.get("Properties")
    path = (*path, "Properties")
    tags = properties.get("Tags") if isinstance(properties, dict) else None
    why = wish.why_not(name) or why_tagged(tags, key="Key", value="Value")
    if why:
        draft.targets.append(Target(path, name, "left out", why))
        return
    if not isinstance(properties, dict) or is_intrinsic(properties):
        says = "The properties are not written out here."
        problem = error(path, "not-a-definition", says, "Write them out, or leave this definition out.")
        draft.settle(path, name, wish, (), (problem,))
        return
    rewritten = rewrite(to_api(properties), wish.options)
    problems = [replace(problem, path=path_to_template(problem.path)) for problem in rewritten.problems]
    edits = at(path, edits_to_template(rewritten.edits))
    if edits and "aws:cdk:path" in (resource.get("Metadata") or {}):
        says = "The CDK has made this template, and makes it anew at the next synthesis."
        problems.append(note((), "cdk-made", says, "Call Outrider.guard in the app instead: docs/deploy.md."))
    draft.settle(path, name, wish, edits, below(path, problems))


def _resources(resources: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str, Mapping[str, Any]]]:
    """Each resource with its path and logical name, those of loops too."""
    for name, resource in resources.items():
        here: Path = (*path, name)
        if isinstance(resource, dict):
            yield here, str(name), resource
        elif str(name).startswith(_LOOP) and isinstance(resource, list) and resource and isinstance(resource[-1], dict):
            yield from _resources(resource[-1], (*here, len(resource) - 1))


def _elsewhere(resources: Mapping[str, Any], found: list[tuple[Path, str, Mapping[str, Any]]]) -> Iterator[Problem]:
    """What may bring in definitions that are not to be seen here."""
    for path, _, resource in found:
        kind = resource.get("Type")
        if kind in _OWN_DEFINITION:
            says = "This makes a task definition of its own, which has no sidecar."
            yield warning(path, "makes-its-own", says, "Write definition and service out, to have them guarded.")
        elif kind == STACK:
            says = "A nested stack has a template of its own, which was not looked at."
            yield note(path, "nested-stack", says, "Give that template as well.")
        elif isinstance(kind, str) and kind.endswith("::MODULE"):
            says = "A module brings resources of its own, which were not looked at."
            yield warning(path, "module", says, "Write them out, or guard them by the stack's ARNs.")
    if "Fn::Transform" in resources:
        says = "A transform brings in resources, which were not looked at."
        yield warning(("Resources", "Fn::Transform"), "transform", says, "Give what it includes as well.")
