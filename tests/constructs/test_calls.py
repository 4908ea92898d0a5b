"""How often guarding asks Node.js: each question and its answer cost as much as rewriting the definition."""

from collections import Counter
from typing import Any, Final

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ecs as ecs
from cdk_apps import SIDECAR_IMAGE, Written, add_app, containers, fargate, new_stack
from jsii._kernel.types import Callback
from jsii._runtime import kernel  # type: ignore[attr-defined]  # nothing public tells of the questions

from outrider_cdk import MANAGED, Outrider

QUESTIONS: Final = 16
"""Questions for one definition whose container has a log: with the answers to its callbacks, 21 in all."""
CALLBACKS: Final = 5
"""Four constructs with tags (definition, two roles, log group), and the question for its PidMode."""


def asked_for(definitions: int, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many questions went to Node.js, and how many came from there, while an app was synthesised."""
    stack = new_stack()
    for number in range(definitions):
        add_app(fargate(stack, f"Task{number}"), logging=ecs.LogDriver.aws_logs(stream_prefix="app"))
    Outrider.guard_all(stack, image=SIDECAR_IMAGE, collector_url="https://outrider.example.com")
    process = kernel.provider._process
    counted: Counter[str] = Counter()
    send = process.send

    def count(request: Any, response_type: Any) -> Any:
        answer = send(request, response_type)
        completes = type(request).__name__ == "_CompleteRequest"
        counted.update(["answers" if completes else "questions"])
        counted.update(["callbacks"] if isinstance(answer, Callback) else [])
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(process, "send", count)
        assembly = cdk.App.of(stack).synth()
    assert str(assembly.get_stack_by_name("Web").template).count("SYS_PTRACE") == definitions
    return counted


def test_a_definition_more_costs_few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Constructs without tags are passed over in Node.js, and the fields of a definition are read together."""
    few, more = asked_for(2, monkeypatch), asked_for(6, monkeypatch)
    each = {what: (more[what] - few[what]) / 4 for what in ("questions", "callbacks")}
    assert each["questions"] <= QUESTIONS
    assert each["callbacks"] <= CALLBACKS


def test_the_aspect_leaves_tags_as_they_are() -> None:
    """It is made of CDK's aspect for tags, and does nothing to any; tags of a definition count however they came."""
    stack = new_stack()
    add_app(fargate(stack, "On"))
    ecs.CfnTaskDefinition(
        stack,
        "Off",
        tags=[cdk.CfnTag(key=MANAGED, value="false")],
        container_definitions=[ecs.CfnTaskDefinition.ContainerDefinitionProperty(name="app", image="app:1")],
    )
    cdk.Tags.of(stack).add("Team", "web")
    Outrider.guard_all(stack, image=SIDECAR_IMAGE, collector_url="https://outrider.example.com")
    made = Written(stack).definitions()
    tags = {name: {tag["key"]: tag["value"] for tag in each["tags"]} for name, each in made.items()}
    (on,) = (name for name in made if name.startswith("On"))
    assert tags == {on: {"Team": "web"}, "Off": {"Team": "web", MANAGED: "false"}}
    assert ["outrider" in containers(made[name]) for name in (on, "Off")] == [True, False]
