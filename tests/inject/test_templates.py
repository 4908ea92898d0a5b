"""Task definitions within CloudFormation templates, Copilot manifests and Compose files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sample_documents import COMPOSE, MANIFEST, REMOVE, TEMPLATE, planned
from stand_in_ecs import IMAGE, OPTIONS

from outrider_cdk.editing import read_document
from outrider_cdk.rewriting import GuardOptions
from outrider_cdk.templates import Wish, plan_document

Inject = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("text", [TEMPLATE, MANIFEST, COMPOSE], ids=["template", "manifest", "compose"])
def test_each_kind_goes_there_and_back_to_the_byte(text: str) -> None:
    """Guarded, a second time without any change, and taken out to the byte; every old line is there between."""
    _, plan, changed = planned(text)
    assert not plan.refused and plan.edits
    _, again, _ = planned(changed.text)
    assert (again.edits, again.refused) == ((), False)
    _, _, back = planned(changed.text, REMOVE)
    assert back.text == text
    lines = set(changed.text.splitlines())
    gone = [line for line in text.splitlines() if line not in lines]
    assert gone == [line for line in ("      PidMode: !Ref AWS::NoValue",) if line in text]


def test_a_template_has_its_definitions_guarded() -> None:
    """Every definition, in loops too, with CloudFormation's names; those tagged false are left; services are judged."""
    _, plan, changed = planned(TEMPLATE)
    assert [(each.name, each.outcome) for each in plan.targets] == [
        ("Web", "guarded"),
        ("Batch", "left out"),
        ("Worker${Name}", "guarded"),
    ]
    web = changed.value["Resources"]["Web"]["Properties"]
    assert (web["PidMode"], web["Volumes"]) == ("task", [{"Name": "outrider-journal"}])
    sidecar = web["ContainerDefinitions"][1]
    assert (sidecar["Name"], sidecar["LinuxParameters"]) == ("outrider", {"Capabilities": {"Add": ["SYS_PTRACE"]}})
    assert sidecar["LogConfiguration"]["Options"]["awslogs-group"] == {"Ref": "Logs"}
    codes = {(problem.code, problem.path[:2]) for problem in plan.problems}
    assert ("ecs-exec", ("Resources", "Service")) in codes
    assert ("nested-stack", ("Resources", "Nested")) in codes


def test_an_old_platform_version_of_the_service_is_an_error_at_its_line(inject: Inject, tmp_path: Path) -> None:
    """A service whose platform knows no pidMode: refused, and the template is left as it was."""
    file = tmp_path / "stack.yaml"
    file.write_text(TEMPLATE.replace("      EnableExecuteCommand: true", '      PlatformVersion: "1.3.0"'))
    before = file.read_text()
    code, _, err = inject(file, *OPTIONS, "--in-place")
    line = next(number for number, text in enumerate(before.splitlines(), 1) if "PlatformVersion" in text)
    assert code == 2
    assert f":{line}: error: Resources.Service.Properties.PlatformVersion:" in err
    assert file.read_text() == before


def test_one_refused_definition_holds_the_document_unless_left_out(inject: Inject, tmp_path: Path) -> None:
    """Nothing is half done: all is held back, until what is refused is left out by name."""
    file = tmp_path / "stack.yaml"
    file.write_text(
        TEMPLATE.replace(
            "          ContainerDefinitions:\n", "          PidMode: odd\n          ContainerDefinitions:\n"
        )
    )
    code, out, err = inject(file, *OPTIONS)
    assert (code, out) == (2, "")
    assert "Worker${Name}: refused" in err and "Web: unchanged (held back" in err
    code, out, err = inject(file, *OPTIONS, "--leave-out", "Worker${Name}")
    assert code == 0
    assert "Worker${Name}: left out (asked to be left out)" in err
    assert inject(file, *OPTIONS, "--only", "Web")[1] == out


def test_a_template_of_the_cdk_is_said_to_be_one() -> None:
    """What is synthesised again would be lost."""
    text = '{"Resources": {"T": {"Type": "AWS::ECS::TaskDefinition", "Metadata": {"aws:cdk:path": "a/b"}, "Properties": {"RequiresCompatibilities": ["EC2"], "ContainerDefinitions": [{"Name": "a", "Image": "b"}]}}}}'  # noqa: E501 - as the CDK writes it
    _, plan, changed = planned(text, name="t.json")
    assert "cdk-made" in [problem.code for problem in plan.problems]
    assert planned(changed.text, REMOVE, "t.json")[2].text == text


def test_a_manifest_has_overrides_for_the_workload_and_for_environments() -> None:
    """PID mode, volume and sidecar; behind the overrides that an environment has of its own as well."""
    _, plan, changed = planned(MANIFEST)
    assert [each.name for each in plan.targets] == ["shop", "shop in prod"]
    paths = [each["path"] for each in changed.value["taskdef_overrides"]]
    assert paths == ["PidMode", "Volumes[-]", "ContainerDefinitions[-]"]
    prod = changed.value["environments"]["prod"]["taskdef_overrides"]
    assert [each["path"] for each in prod] == ["ContainerDefinitions[0].Cpu", *paths]
    assert changed.value["taskdef_overrides"][2]["value"]["LogConfiguration"]["Options"]["awslogs-group"] == {
        "Ref": "LogGroup"
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("type: Load Balanced Web Service", "type: Static Site"), "not-ecs"),
        (("cpu: 256", "cpu: 256\nplatform: windows/x86_64"), "windows"),
        (("cpu: 256", "cpu: 256\ntaskdef_overrides: {}"), "wrong-type"),
        (("cpu: 256", "cpu: 256\ntaskdef_overrides: [{path: PidMode, value: host}]"), "pid-mode"),
        (("cpu: 256", "cpu: 256\nentrypoint: /init"), "pid-1"),
        (("  nginx:", "  outrider:"), "name-taken"),
    ],
)
def test_manifests_that_cannot_be_guarded(change: tuple[str, str], code: str) -> None:
    """The same refusals as for a definition, at a place of the manifest."""
    _, plan, changed = planned(MANIFEST.replace(*change))
    assert plan.refused and changed.text == MANIFEST.replace(*change)
    assert code in [problem.code for problem in plan.problems if problem.severity == "error"]


def test_a_manifest_keeps_overrides_that_came_later() -> None:
    """Only the sidecar's own overrides go; a list that was made for them stays while others use it."""
    _, _, changed = planned(MANIFEST)
    later = changed.text + "- path: ContainerDefinitions[0].Ulimits[-]\n  value: 1\n"
    _, plan, back = planned(later, REMOVE)
    assert not plan.refused
    assert back.value["taskdef_overrides"] == [{"path": "ContainerDefinitions[0].Ulimits[-]", "value": 1}]


def test_compose_services_get_a_sidecar_each() -> None:
    """In the PID and network namespaces of its service; services that share or are labelled have none."""
    _, plan, changed = planned(COMPOSE)
    assert [(each.name, each.outcome) for each in plan.targets] == [
        ("app", "guarded"),
        ("worker", "left out"),
        ("db", "left out"),
    ]
    sidecar: dict[str, Any] = changed.value["services"]["outrider-app"]
    assert (sidecar["pid"], sidecar["network_mode"]) == ("service:app", "service:app")
    assert (sidecar["cap_add"], sidecar["profiles"], sidecar["read_only"]) == (["SYS_PTRACE"], ["web"], True)
    assert list(changed.value["volumes"]) == ["data", "outrider-journal-app"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("    profiles: [web]", "    pid: host"), "pid-mode"),
        (("    profiles: [web]", "    platform: windows/amd64"), "windows"),
        (("    profiles: [web]", "    platform: linux/arm64"), "arm-image"),
        (("    profiles: [web]", "    cap_add: [SYS_PTRACE]"), "reads-key"),
        (("  db:", "  outrider-app: {image: x}\n  db:"), "name-taken"),
        (("  db:", "  broken: 5\n  db:"), "not-a-service"),
        (("    pid: service:app", "    pid: service:app\n    cap_add: [SYS_PTRACE]"), "second-tracer"),
    ],
)
def test_compose_services_that_cannot_be_guarded(change: tuple[str, str], code: str) -> None:
    """Refused at their place, and the file is left as it was."""
    _, plan, changed = planned(COMPOSE.replace(*change))
    assert plan.refused and changed.text == COMPOSE.replace(*change)
    assert code in [problem.code for problem in plan.problems if problem.severity == "error"]
    assert all(problem.path[:1] in ((), ("services",)) for problem in plan.problems)


def test_options_that_a_kind_of_file_cannot_have_are_said() -> None:
    """What would be left out silently is an error or a warning."""
    options = GuardOptions(image=IMAGE, depends_on=True, token_secret="arn:x", secrets={"lists_key": "arn:y"})
    for text in (COMPOSE, MANIFEST):
        document = read_document(text.encode(), "x.yaml")
        plan = plan_document(document.value, Wish(options=options))
        assert "depends-on" in [problem.code for problem in plan.problems if problem.severity == "error"]
    wish = Wish(options=replace(options, depends_on=False))
    assert {"not-in-compose", "no-secrets"} <= {problem.code for problem in planned(COMPOSE, wish)[1].problems}
    assert "copilot-secrets" in {problem.code for problem in planned(MANIFEST, wish)[1].problems}


@pytest.mark.parametrize("volumes", ["", "volumes:\n", "volumes: {}\n", "volumes:\n  data: {}  # mine\n"])
def test_compose_volumes_go_back_to_what_they_were(volumes: str) -> None:
    """No volumes, none yet, or others: taking the sidecar out leaves what was there."""
    text = volumes + "services:\n  app: {image: x}\n"
    _, _, changed = planned(text)
    assert "outrider-journal-app" in changed.value["volumes"]
    assert planned(changed.text, REMOVE)[2].text == text
