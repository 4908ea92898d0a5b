"""Containers behind `Fn::If`: every branch is judged, and what cannot be changed there is refused."""

from typing import Any

import pytest
from task_definitions import container, fargate, options

from outrider_cdk.rewriting import guard, show_path, unguard
from outrider_cdk.rewriting.branches import CONDITIONS, variants_of

NONE = {"Ref": "AWS::NoValue"}
ROOT = {"privileged": True}
KILL = {"command": ["sh", "-c", "kill -9 -1"]}


def chosen(condition: str, then: Any, otherwise: Any = NONE) -> dict[str, Any]:
    return {"Fn::If": [condition, then, otherwise]}


def said(task: dict[str, Any], severity: str = "error", **changes: Any) -> set[tuple[str, str]]:
    """Codes and paths of what is said."""
    rewritten = guard(task, options(**changes))
    return {(each.code, show_path(each.path)) for each in rewritten.problems if each.severity == severity}


@pytest.mark.parametrize(
    ("task", "code", "path"),
    [
        (fargate(container(), chosen("C", container("b", **KILL))), "signals-everybody", "[1].Fn::If[1].command"),
        (fargate(container(), chosen("C", NONE, container("b", **ROOT))), "reads-key", "[1].Fn::If[2].privileged"),
        (
            fargate(chosen("C", container(), chosen("D", NONE, container("b", image="x/pdig", command=["pdig"])))),
            "second-tracer",
            "[0].Fn::If[2].Fn::If[2].command",
        ),
        (
            fargate(container(privileged=chosen("C", then=True, otherwise=False))),
            "reads-key",
            "[0].privileged.Fn::If[1]",
        ),
        (fargate(container(), chosen("C", container())), "duplicate-name", "[1].Fn::If[1].name"),
        (
            fargate(containerDefinitions=chosen("C", [container()], [container(image="linuxserver/nginx")])),
            "pid-1",
            ".Fn::If[2][0].image",
        ),
    ],
)
def test_each_branch_is_judged_where_it_stands(task: dict[str, Any], code: str, path: str) -> None:
    """Containers, their fields, and whole lists; conditions within conditions."""
    assert (code, f"containerDefinitions{path}") in said(task)
    assert guard(task, options()).definition is task


def test_branches_that_exclude_each_other_are_not_counted_together() -> None:
    """The same name in both, more memory than the task has in sum, and ten in either."""
    big = container(memory=700)
    assert said(fargate(chosen("C", big, big), memory="1024")) == set()
    others = [chosen("C", container(f"a{n}"), container(f"b{n}")) for n in range(9)]
    assert said(fargate(*others)) == set()
    both = [*others, chosen("C", container("x")), chosen("C", NONE, container("y"))]
    assert {code for code, _ in said(fargate(*both))} == {"too-many-containers"}
    assert said(fargate(*others[:8], *both[-2:])) == set()


def test_a_definition_with_branches_goes_there_and_back() -> None:
    """The sidecar is one container more, once."""
    task = fargate(container(), chosen("C", container("b")), chosen("C", NONE, container("c")))
    guarded = guard(task, options())
    assert guarded.definition["containerDefinitions"][:3] == task["containerDefinitions"]
    assert guard(guarded.definition, options()).edits == ()
    assert unguard(guarded.definition).definition == task


def test_what_cannot_be_changed_behind_a_condition_is_refused_with_what_to_do() -> None:
    """A whole list, a wait for the sidecar, a sidecar that somebody moved there."""
    listed = fargate(containerDefinitions=chosen("C", [container()], [container("b")]))
    (problem,) = [each for each in guard(listed, options()).problems if each.severity == "error"]
    assert (problem.code, problem.remedy) == (
        "no-containers",
        "Write a list here, and in it each container that the condition decides on, behind Fn::If.",
    )
    waiting = fargate(container(), chosen("C", container("b")))
    assert said(waiting, depends_on=True) == {("depends-on", "containerDefinitions[1].Fn::If[1]")}
    app, sidecar = guard(fargate(), options()).definition["containerDefinitions"]
    moved = fargate(app, chosen("C", sidecar), volumes=[{"name": "outrider-journal"}])
    assert ("second-sidecar", "containerDefinitions[1].Fn::If[1]") in said(moved)


def test_more_conditions_than_are_told_apart_stay_unknown() -> None:
    """What the rest decides is warned of, as any other function is; nothing is passed over."""
    many = fargate(*(chosen(f"C{n}", container(f"c{n}")) for n in range(CONDITIONS + 1)))
    assert len(variants_of(many)) == 2**CONDITIONS
    path = f"containerDefinitions[{CONDITIONS}]"
    assert ("container-unknown", path) in said(many, "warning")
    odd = fargate(container(), {"Fn::If": ["C", container("b")]}, {"Fn::If": [{"Ref": "C"}, container("b"), NONE]})
    assert {path for code, path in said(odd, "warning") if code == "container-unknown"} == {
        "containerDefinitions[1]",
        "containerDefinitions[2]",
    }
