"""Task definitions in ECS: read one with its tags, register the rewritten one as the next revision."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from outrider_cdk.deploying.aws import Client, asking
from outrider_cdk.rewriting import Rewritten, registrable
from outrider_cdk.rewriting.problems import warning
from outrider_cdk.templates.plan import rewrite
from outrider_wire.errors import ConfigError

Options = Any
"""GuardOptions, or None to take the sidecar out."""

_DEFINITION: Final = re.compile(r"arn:aws[a-z-]*:ecs:([a-z0-9-]+):\d{12}:task-definition/([A-Za-z0-9_-]{1,255}:\d+)")
_SERVICE: Final = re.compile(r"arn:aws[a-z-]*:ecs:([a-z0-9-]+):\d{12}:service/(?:([\w-]{1,255})/)?([\w-]{1,255})")
_STACK: Final = "aws:cloudformation:stack-name"
_FAMILY: Final = re.compile(r"[A-Za-z0-9_-]{1,255}:\d{1,9}")


@dataclass(frozen=True, slots=True)
class Described:
    """A revision as ECS has it: `document` is the answer, with `taskDefinition` and `tags`."""

    arn: str
    document: Mapping[str, Any]

    @property
    def tags(self) -> dict[str, str]:
        """Its tags."""
        return tags_of(self.document)


@dataclass(frozen=True, slots=True)
class Named:
    """What a name on the command line stands for: a revision, or a service of a cluster."""

    kind: str
    name: str
    cluster: str = ""
    region: str = ""


def read_name(text: str) -> Named | None:
    """A revision's ARN or family:revision, or a service's ARN; None for what is none of them."""
    if match := _DEFINITION.fullmatch(text):
        return Named("definition", text, region=match[1])
    if match := _SERVICE.fullmatch(text):
        return Named("service", text, match[2] or "default", match[1])
    return Named("definition", text) if _FAMILY.fullmatch(text) else None


def tags_of(answer: Mapping[str, Any]) -> dict[str, str]:
    """The tags in an answer of ECS."""
    return {str(tag.get("key")): str(tag.get("value", "")) for tag in answer.get("tags") or ()}


def describe(ecs: Client, name: str) -> Described:
    """A revision with its tags. Raises ConfigError where there is none of that name."""
    with asking(f"reading {name}"):
        answer = ecs.describe_task_definition(taskDefinition=name, include=["TAGS"])
    found = answer.get("taskDefinition") or {}
    if not found.get("taskDefinitionArn"):
        raise ConfigError(f"reading {name}: ECS has no such task definition")
    return Described(str(found["taskDefinitionArn"]), {"taskDefinition": found, "tags": answer.get("tags") or []})


def rewritten(described: Described, options: Options) -> Rewritten:
    """What the rewriter makes of a revision, and says of it; and whose the revision is."""
    made = rewrite(dict(described.document), options)
    stack = described.tags.get(_STACK)
    if not stack or not made.edits:
        return made
    says = f"CloudFormation has made this revision (stack {stack}), and its next deployment brings its own again."
    problem = warning(("tags",), "made-by-stack", says, "Change the stack's template, or the program that writes it.")
    return replace(made, problems=(*made.problems, problem))


def register(ecs: Client, definition: Mapping[str, Any]) -> str:
    """Register a rewritten answer as the next revision of its family; its ARN.

    It gets the tags of the old one, but for AWS's own, which ECS takes from nobody.
    """
    tags = [tag for tag in definition.get("tags") or () if not str(tag.get("key", "")).lower().startswith("aws:")]
    parameters = registrable({**definition, "tags": tags})
    with asking(f"registering {parameters.get('family')}"):
        answer = ecs.register_task_definition(**parameters)
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def short(arn: str) -> str:
    """An ARN as people say it: what is behind its first slash."""
    return arn.partition("/")[2] or arn
