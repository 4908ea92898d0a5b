"""Task definitions within CloudFormation templates, Copilot manifests and Compose files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sample_documents import COMPOSE, GUARD, MANIFEST, REMOVE, TEMPLATE, planned
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


RUNNERS = """\
  Tasks:
    Type: AWS::ECS::TaskSet
    Properties: {TaskDefinition: !Ref Web, PlatformVersion: 1.3.0}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      Targets:
        - EcsParameters: {TaskDefinitionArn: !Ref Web, PlatformVersion: 1.3.0}
  Looped:
    Type: AWS::ECS::Service
    Properties: {TaskDefinition: !Ref Workera}
  Other:
    Type: AWS::ECS::Service
    Properties: {TaskDefinition: !ImportValue other}
  Quick:
    Type: AWS::ECS::ExpressGatewayService
"""


def test_whatever_runs_a_definition_is_looked_at() -> None:
    """Task sets and rules like services; what runs unguarded is said, and what runs a definition of a loop is not."""
    _, plan, _ = planned(TEMPLATE + RUNNERS)
    found = {(problem.code, problem.path[1]): problem.severity for problem in plan.problems}
    assert found["platform-version", "Tasks"] == found["platform-version", "Rule"] == "error"
    assert found["definition-elsewhere", "Other"] == found["makes-its-own", "Quick"] == "warning"
    assert ("definition-elsewhere", "Looped") not in found


def test_what_no_service_answers_stays_said() -> None:
    """A service of one definition says nothing of the platform that another runs on."""
    loop = TEMPLATE.index("  Fn::ForEach::Workers")
    lone = TEMPLATE[TEMPLATE.index("  Web:") : TEMPLATE.index("  Batch:")].replace("  Web:", "  Lone:")
    _, plan, _ = planned(TEMPLATE[:loop] + lone + TEMPLATE[loop:])
    noted = {problem.path[1] for problem in plan.problems if (problem.code, problem.severity) == ("ecs-exec", "note")}
    assert "Lone" in noted and "Web" not in noted


@pytest.mark.parametrize("text", [TEMPLATE, MANIFEST, COMPOSE], ids=["template", "manifest", "compose"])
def test_a_misspelt_name_is_refused(text: str) -> None:
    """Guarding nothing, or what was to be left alone, would go unnoticed."""
    for wish in (replace(GUARD, only=frozenset({"wbe"})), replace(GUARD, leave_out=frozenset({"wbe"}))):
        _, plan, _ = planned(text, wish)
        assert plan.refused and not plan.edits
        assert "no-such-name" in [problem.code for problem in plan.problems]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("platform: {osfamily: windows_server_2019_full, architecture: x86_64}\n", "windows"),
        ("    platform: windows/x86_64\n", "windows"),
        ("    image: {location: lscr.io/linuxserver/nginx}\n", "pid-1"),
        ("    sidecars: {x: {image: public.ecr.aws/datadog/cws-instrumentation}}\n", "second-tracer"),
    ],
)
def test_what_a_manifest_says_elsewhere_is_looked_at(more: str, code: str) -> None:
    """The platform as an object, and what only one environment has."""
    _, plan, _ = planned(MANIFEST + more)
    assert code in [problem.code for problem in plan.problems if problem.severity == "error"]
    assert not plan.edits


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("include: [other.yaml]\n", "not-looked-at"),
        ("services: {a: {image: x, privileged: '${P}'}}\n", "not-looked-at"),
        ("services: {a: {extends: {file: b.yaml, service: c}}}\n", "not-looked-at"),
        ("services: {a: {image: x, deploy: {replicas: '3'}}}\n", "copies"),
        ("services: {a: {image: x, pid: 'container:b'}}\n", "pid-mode"),
        ("services: {a: {image: x, network_mode: host}}\n", "network-host"),
        (
            "services: {a: {image: x, pid: 'service:b'}, b: {image: y, labels: [OutriderManaged=false]}}\n",
            "not-guarded",
        ),
    ],
)
def test_compose_files_say_what_was_not_looked_at(more: str, code: str) -> None:
    """What comes from elsewhere, or is known when Compose runs only."""
    services = "" if "services" in more else "services: {a: {image: x}}\n"
    _, plan, _ = planned(services + more)
    assert code in [problem.code for problem in plan.problems if problem.severity == "warning"]


def test_a_privileged_service_is_refused_however_it_is_spelt() -> None:
    """Compose takes text for a truth value."""
    _, plan, _ = planned("services: {a: {image: x, privileged: 'true'}, ai: {provider: {type: model}}}\n")
    assert "reads-key" in [problem.code for problem in plan.problems if problem.severity == "error"]
    assert [each.name for each in plan.targets if each.outcome == "left out"] == ["ai"]


def test_containers_behind_a_condition_are_judged_at_their_lines(inject: Inject, tmp_path: Path) -> None:
    """With CloudFormation's names in both branches; what is well is guarded, and goes back to the byte."""
    chosen = """\
        - !If
          - Debug
          - Name: debug
            Image: debug
          - Name: helper
            Image: helper
            Privileged: false
"""
    text = TEMPLATE.replace("  Batch:\n", chosen + "  Batch:\n", 1)
    file = tmp_path / "stack.yaml"
    file.write_text(text)
    code, out, err = inject(file, *OPTIONS)
    assert code == 0 and "container-unknown" not in err
    assert planned(out, REMOVE)[2].text == text
    file.write_text(text.replace("Privileged: false", "Privileged: true"))
    code, out, err = inject(file, *OPTIONS)
    line = next(number for number, each in enumerate(file.read_text().splitlines(), 1) if "Privileged" in each)
    assert (code, out) == (2, "")
    assert f":{line}: error: Resources.Web.Properties.ContainerDefinitions[1].Fn::If[2].Privileged:" in err
