"""What holds for every definition, and for everything that is none."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from task_definitions import container, documents, fargate, guardable, options, wishes

from outrider_cdk.rewriting import GuardOptions, apply, guard, unguard
from outrider_cdk.rewriting.casing import edits_to_template, to_api, to_template


def text_of(value: Any) -> str:
    """A value as it would be written, the order of its keys included."""
    return json.dumps(value)


@settings(max_examples=80, deadline=None)
@given(documents, wishes)
def test_every_value_has_an_answer(document: Any, wish: GuardOptions) -> None:
    """Refused and untouched, or guarded by edits that fit; the argument stays as it is; unguarding answers, too."""
    before = text_of(document)
    guarded = guard(document, wish)
    assert text_of(document) == before
    assert guarded.refused == any(problem.severity == "error" for problem in guarded.problems)
    assert apply(document, guarded.edits) == guarded.definition
    if guarded.refused:
        assert guarded.definition is document and not guarded.edits
    assert not unguard(document).edits or "outrider.version" in before


@settings(max_examples=120, deadline=None)
@given(guardable(), wishes)
def test_guarding_can_be_undone_and_repeated(document: Any, wish: GuardOptions) -> None:
    """A second run changes nothing; taking it out gives back the same text, down to the order of keys."""
    guarded = guard(document, wish)
    if guarded.refused:
        return
    assert guarded.edits
    again = guard(guarded.definition, wish)
    assert not again.edits and again.definition is guarded.definition
    assert text_of(unguard(guarded.definition).definition) == text_of(document)
    for key, value in document.items():
        if key not in ("containerDefinitions", "volumes", "pidMode", "executionRoleArn"):
            assert guarded.definition[key] is value
    if not wish.depends_on:
        assert guarded.definition["containerDefinitions"][:-1] == document["containerDefinitions"]


@settings(max_examples=80, deadline=None)
@given(guardable(), wishes, wishes)
def test_a_later_run_updates_the_sidecar_and_can_be_undone(
    document: Any, wish: GuardOptions, later: GuardOptions
) -> None:
    """With other options the sidecar is another, in its place, and what was there before it is still known."""
    first = guard(document, wish)
    second = guard(first.definition, later)
    if first.refused or second.refused:
        return
    assert text_of(unguard(second.definition).definition) == text_of(document)
    assert not guard(second.definition, later).edits


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["app", "web", "db"]), unique=True, min_size=1), st.booleans(), st.booleans())
def test_templates_are_guarded_alike(names: list[str], waits: bool, has_volumes: bool) -> None:
    """Edits with CloudFormation's names make of a template what the API's make of a definition."""
    task = fargate(*(container(name) for name in names), volumes=[] if has_volumes else None)
    wish = options(depends_on=waits)
    guarded = guard(task, wish)
    template = to_template(task)
    assert to_api(template) == task
    edited = apply(template, edits_to_template(guarded.edits))
    assert to_api(edited) == guarded.definition
    assert not guard(to_api(edited), wish).edits
