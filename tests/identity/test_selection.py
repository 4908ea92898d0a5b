"""Selectors: what they hold of, what they wait for, and how a mistake in one is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.selection import Selection, Subject, read_selector
from outrider_wire.errors import ConfigError

APP = Subject("app", "registry.example/web:7", "web", "prod", {"Team": "payments"}, {"OutriderManaged": "false"})

HOLDS = [
    ("container=app", True),
    ("container=a*", True),
    ("container=a?p", True),
    ("container=[ab]pp", True),
    ("container=APP", False),
    ("container=ap", False),
    ("image=registry.example/*", True),
    ("image=web:7", False),
    ("family=web", True),
    ("family=web+container=app", True),
    ("family=web+container=other", False),
    ("cluster=prod*", True),
    ("cluster=test", False),
    ("cluster-tag:Team=payments", True),
    ("cluster-tag:Team=*", True),
    ("cluster-tag:team=payments", False),
    ("task-tag:OutriderManaged=false", True),
    ("task-tag:Other=*", False),
    (" task-tag:OutriderManaged = false + family = web ", True),
]


@pytest.mark.parametrize(("text", "holds"), HOLDS)
def test_a_selector_holds_or_not(text, holds):
    """Globs, compared with case; every part must hold; a tag's key is exact."""
    assert read_selector(text.strip(), "exclude").holds(APP) is holds


def test_a_cluster_is_meant_by_its_name_however_it_is_told():
    """By ARN as by name."""
    by_arn = Subject(cluster="arn:aws:ecs:eu-west-1:111122223333:cluster/prod-1")
    assert read_selector("cluster=prod-*", "include").holds(by_arn) is True
    assert read_selector("cluster=test-*", "include").holds(by_arn) is False


@pytest.mark.parametrize("text", ["container=app", "family=web", "cluster-tag:Team=x", "task-tag:T=*"])
def test_what_is_not_known_neither_holds_nor_fails(text):
    """None, and the container is guarded meanwhile."""
    assert read_selector(text, "exclude").holds(Subject()) is None
    choice = Selection(exclude=[text]).judge(Subject())
    assert (choice.excluded_by, choice.awaits) == ("", True)


def test_one_part_that_fails_decides_whatever_is_not_known():
    """No need to wait for a tag of another family's task."""
    assert read_selector("family=other+task-tag:T=*", "exclude").holds(Subject(family="web")) is False


@pytest.mark.parametrize(
    ("include", "exclude", "excluded_by"),
    [
        ((), (), ""),
        (("family=web",), (), ""),
        (("family=pay", "container=app"), (), ""),
        (("family=pay", "container=x"), (), "include family=pay,container=x"),
        ((), ("family=web",), "exclude family=web"),
        (("family=web",), ("container=app",), "exclude container=app"),
        (("family=web",), ("container=x", "cluster-tag:Team=pay*"), "exclude cluster-tag:Team=pay*"),
    ],
)
def test_exclude_wins_and_an_empty_include_means_everything(include, exclude, excluded_by):
    """And the answer names the setting that did it."""
    choice = Selection(include=include, exclude=exclude).judge(APP)
    assert (choice.excluded_by, choice.awaits) == (excluded_by, False)


def test_a_container_that_may_be_included_is_waited_for():
    """It is guarded until its name is known not to be among them."""
    selection = Selection(include=["container=app"])
    assert selection.judge(Subject(family="web")).awaits
    assert selection.judge(Subject("other", family="web")).excluded_by == "include container=app"
    assert not selection.judge(Subject("app")).awaits


def test_only_tags_that_are_named_must_be_known():
    """Which kinds, so that nothing else is asked for."""
    assert Selection(exclude=["container=x"]).tag_keys == frozenset()
    assert Selection(include=["cluster-tag:A=b"], exclude=["family=x+task-tag:A=b"]).tag_keys == {
        "cluster-tag",
        "task-tag",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("contaner=x", "exclude 'contaner=x': unknown key 'contaner'; did you mean container?"),
        ("cluster-tags:Team=x", "unknown key 'cluster-tags'; did you mean cluster-tag:KEY?"),
        ("tasktag:Team=x", "did you mean task-tag:KEY?"),
        ("family:web=x", "unknown key 'family'"),
        ("family=web+contaner=x", "exclude 'family=web+contaner=x': unknown key 'contaner'; did you mean container?"),
        ("zzz=x", "known are container, image, family, cluster, cluster-tag:KEY, task-tag:KEY"),
        ("cluster-tag=x", "cluster-tag names no tag; write cluster-tag:KEY=VALUE"),
        ("container", "'container' has no value; write container=VALUE"),
        ("container=", "has no value"),
        ("", "unknown key ''"),
        ("family=web+", "unknown key ''"),
    ],
)
def test_a_bad_selector_is_told_with_its_setting_and_the_nearest_key(text, said):
    """Nothing is left unguarded, or guarded, by a misspelling."""
    with pytest.raises(ConfigError) as told:
        Selection(exclude=[text])
    assert said in str(told.value)
    assert str(told.value).startswith("exclude")


def test_too_many_selectors_are_refused():
    """A bound, as everywhere."""
    with pytest.raises(ConfigError, match="at most 256"):
        Selection(include=["family=x"] * 257)


@given(st.text() | st.text(alphabet="container=family:+*[]!-tag"))
def test_any_text_is_a_selector_or_refused(text):
    """And what is read can be asked."""
    try:
        selector = read_selector(text, "include")
    except ConfigError:
        return
    assert selector.holds(APP) in (True, False, None)
