"""Task definitions from the wild: guarded exactly, or refused with a clear answer and left as they were."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_documents import SCALARS, VALUES, write_json, write_yaml
from stand_in_ecs import IMAGE, OPTIONS, web, write

from outrider_cdk.editing import edited, read_document
from outrider_cdk.rewriting import GuardOptions, apply
from outrider_cdk.templates import Wish, plan_document

Inject = Callable[..., tuple[int, str, str]]
GUARD = Wish(options=GuardOptions(image=IMAGE, accept=frozenset(["no-task-role"])))
REMOVE = Wish(options=None)

TRACED = {
    "name": "a",
    "image": "x",
    "entryPoint": ["/cws-instrumentation-volume/cws-instrumentation", "trace"],
}
WILD: dict[str, tuple[Any, str]] = {
    "no containers": ({"family": "x"}, "no-containers"),
    "containers of the wrong type": ({"containerDefinitions": {"a": 1}}, "no-containers"),
    "a container of the wrong type": ({"containerDefinitions": [5]}, "not-a-container"),
    "a container without a name": ({"containerDefinitions": [{"image": "x"}]}, "no-name"),
    "duplicate names": (web(containerDefinitions=[{"name": "a", "image": "x"}] * 2), "duplicate-name"),
    "ten": (web(containerDefinitions=[{"name": f"c{n}", "image": "x"} for n in range(10)]), "too-many-containers"),
    "volumes of the wrong type": (web(volumes="none"), "wrong-type"),
    "an odd pidMode": (web(pidMode="shared"), "pid-mode"),
    "a sidecar made by hand": (
        web(containerDefinitions=[{"name": "a", "image": "x"}, {"name": "outrider", "image": "y"}]),
        "name-taken",
    ),
    "a peer's": (
        web(containerDefinitions=[TRACED]),
        "second-tracer",
    ),
    "a list": ([web()], "not-a-definition"),
    "text": ("web", "not-a-definition"),
    "nothing": (None, "not-a-definition"),
    "Kubernetes": ({"apiVersion": "v1", "kind": "Pod"}, "not-a-definition"),
    "services": ({"services": [{"serviceArn": "x"}], "failures": []}, "not-a-definition"),
    "a template without a definition": ({"Resources": {"B": {"Type": "AWS::S3::Bucket"}}}, "no-definition"),
    "a template of a wrong type": ({"Resources": []}, "no-resources"),
    "properties of a wrong type": ({"Resources": {"T": {"Type": "AWS::ECS::TaskDefinition"}}}, "not-a-definition"),
    "App Runner": ({"name": "x", "type": "Request-Driven Web Service"}, "not-ecs"),
}


@pytest.mark.parametrize("name", WILD)
def test_documents_from_the_wild_get_a_clear_answer(inject: Inject, tmp_path: Path, name: str) -> None:
    """What cannot be guarded is refused with a code, never a traceback, and the file stays as it was."""
    document, code = WILD[name]
    file = write(tmp_path / "t.json", document)
    before = file.read_bytes()
    found, out, err = inject(file, *OPTIONS, "--in-place")
    assert (found, out) == (2, "")
    assert f"[{code}]" in err or "neither { nor [" in err, err
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_an_older_sidecar_is_brought_up_to_date(inject: Inject, tmp_path: Path) -> None:
    """Guarded by an older version: the sidecar alone is replaced, and said to be."""
    _, out, _ = inject(write(tmp_path / "t.json", web()), *OPTIONS)
    made = json.loads(out)
    made["containerDefinitions"][1]["dockerLabels"]["outrider.version"] = "0.0.1"
    made["containerDefinitions"][1]["image"] = "old"
    file = write(tmp_path / "old.json", made)
    code, again, err = inject(file, *OPTIONS)
    assert code == 0
    assert "[guarded-by-older]" in err
    assert json.loads(again) == json.loads(out)


FIELDS = (
    *("family", "containerDefinitions", "pidMode", "volumes", "cpu", "memory", "networkMode", "runtimePlatform"),
    *("requiresCompatibilities", "executionRoleArn", "tags", "unknown", "Resources", "services", "taskDefinition"),
)
CONTAINERS = st.lists(
    st.dictionaries(
        st.sampled_from(["name", "image", "command", "entryPoint", "linuxParameters", "logConfiguration", "x", "cpu"]),
        VALUES,
        max_size=5,
    ),
    max_size=3,
)


@settings(max_examples=70, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(FIELDS), st.one_of(VALUES, CONTAINERS), max_size=7),
    st.lists(st.text("abc", min_size=1, max_size=3), max_size=3, unique=True),
    st.integers(0, 2**32),
)
def test_whatever_a_document_is_it_is_guarded_exactly_or_refused(
    document: dict[str, Any], called: list[str], seed: int
) -> None:
    """Any document in any formatting: guarded as the edits say and removed to the byte, or refused and left."""
    if called:
        found = document.get("containerDefinitions")
        containers = found if isinstance(found, list) else []
        named = [
            {**each, "name": name} for each, name in zip(containers, called, strict=False) if isinstance(each, dict)
        ]
        document = {**document, "containerDefinitions": named or [{"name": called[0], "image": "x"}], "pidMode": None}
        document.pop("volumes", None)
    rng = random.Random(seed)
    as_yaml = rng.random() < 0.5
    if as_yaml and "pidMode" in document:
        document["pidMode"] = rng.choice(["", "task", "host"])
    data = (write_yaml if as_yaml else write_json)(document, rng).encode()
    read = read_document(data, "x.yaml" if as_yaml else "x.json")
    plan = plan_document(read.value, GUARD)
    assert not (plan.refused and plan.edits)
    assert plan.problems or plan.targets
    changed = edited(read, plan.edits)
    assert changed.value == apply(read.value, plan.edits)
    if plan.edits:
        back = plan_document(changed.value, REMOVE)
        assert edited(changed, back.edits).to_bytes() == data


def _fields(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """An object with some of these fields, each of which may be anything."""
    return st.dictionaries(st.sampled_from(names), VALUES, max_size=5)


TEMPLATES = st.builds(
    lambda one, other, tags, service: {
        "Resources": {
            "One": {
                "Type": "AWS::ECS::TaskDefinition",
                "Properties": {**one, "ContainerDefinitions": [{**other, "Name": "c"}]},
            },
            **({"Two": {"Type": "AWS::ECS::TaskDefinition", "Properties": {**one, **tags}}} if tags else {}),
            "Service": {"Type": "AWS::ECS::Service", "Properties": service},
            **tags,
        }
    },
    _fields("PidMode", "Volumes", "Tags", "RuntimePlatform", "Cpu"),
    _fields("Name", "Image", "Command", "LinuxParameters", "LogConfiguration", "DockerLabels"),
    _fields("Tags", "Properties", "Fn::ForEach::x", "Fn::Transform", "ContainerDefinitions"),
    st.one_of(VALUES, _fields("PlatformVersion", "TaskDefinition", "EnableExecuteCommand")),
)
MANIFESTS = st.builds(
    lambda rest, path, value: {
        **rest,
        "type": "Backend Service",
        "environments": {"prod": {"taskdef_overrides": [{"path": path, "value": value}, value]}},
    },
    _fields("name", "image", "sidecars", "storage", "platform", "cpu", "taskdef_overrides", "command", "environments"),
    st.sampled_from(["PidMode", "Volumes[-]", "ContainerDefinitions[-]", "x"]),
    VALUES,
)
COMPOSED = st.builds(
    lambda one, rest, name: {**rest, "services": {"a": {**one, "image": "x"}, "b": one, name: rest}},
    _fields("pid", "cap_add", "labels", "deploy", "profiles", "platform", "command", "network_mode", "scale"),
    _fields("volumes", "image", "labels", "x"),
    st.sampled_from(["outrider-b", "c", "d"]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(TEMPLATES, MANIFESTS, COMPOSED), st.integers(0, 2**32))
def test_templates_with_anything_in_them(document: dict[str, Any], seed: int) -> None:
    """The same for templates, manifests and Compose files whose fields may be anything."""
    data = write_json(document, random.Random(seed)).encode()
    read = read_document(data)
    plan_document(read.value, REMOVE)
    plan = plan_document(read.value, GUARD)
    assert not (plan.refused and plan.edits)
    assert plan.problems or plan.targets
    changed = edited(read, plan.edits)
    assert changed.value == apply(read.value, plan.edits)
    back = plan_document(changed.value, REMOVE)
    assert edited(changed, back.edits).to_bytes() == data


@settings(max_examples=60, deadline=None)
@given(SCALARS)
def test_any_value_is_no_definition(value: Any) -> None:
    """A scalar is refused with one error."""
    plan = plan_document(value, GUARD)
    assert [problem.code for problem in plan.problems] == ["not-a-definition"]
