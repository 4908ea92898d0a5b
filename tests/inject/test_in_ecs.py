"""`outrider inject` for revisions and services in ECS (moto's)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stand_in_ecs import OPTIONS, names, runs, serve, web

from outrider_cdk.deploying import services
from outrider_cdk.deploying.definitions import read_name

Inject = Callable[..., tuple[int, str, str]]


def test_a_revision_is_registered_and_nothing_else_changes(ecs: Any, inject: Inject) -> None:
    """An ARN alone: the next revision is guarded, has the old one's tags, and no service runs it."""
    old = serve(ecs, "web", web(tags=[{"key": "team", "value": "shop"}]))
    code, out, err = inject(old, *OPTIONS)
    assert code == 0
    assert out == "registered web:1 -> web:2\n1 registered\n"
    assert "--update" in err
    new = ecs.describe_task_definition(taskDefinition="web:2", include=["TAGS"])
    assert names(new["taskDefinition"]) == ["web", "outrider"]
    assert new["taskDefinition"]["pidMode"] == "task"
    assert new["tags"] == [{"key": "team", "value": "shop"}]
    assert names(runs(ecs, "web")["taskDefinition"]) == ["web"]


def test_tags_of_aws_itself_are_not_registered(ecs: Any, inject: Inject) -> None:
    """ECS takes no `aws:` tags; a revision that a stack made is said to be one, for the stack will bring its own."""
    tags = [{"key": "aws:cloudformation:stack-name", "value": "shop"}, {"key": "team", "value": "shop"}]
    old = serve(ecs, "web", web(tags=tags))
    code, _, err = inject(old, *OPTIONS)
    assert code == 0
    assert "(stack shop)" in err and "[made-by-stack]" in err
    assert ecs.describe_task_definition(taskDefinition="web:2", include=["TAGS"])["tags"] == tags[1:]


def test_services_run_it_where_asked_to_and_back_again(ecs: Any, inject: Inject) -> None:
    """With --update every service that ran this revision runs the new one, others do not; --remove undoes it."""
    old = serve(ecs, "one", web())
    serve(ecs, "two", old)
    serve(ecs, "other", web(family="other"))
    code, out, _ = inject(old, *OPTIONS, "--update")
    assert code == 0
    assert out.count("deployment ecs-svc/") == 2
    assert names(runs(ecs, "one")["taskDefinition"]) == names(runs(ecs, "two")["taskDefinition"]) == ["web", "outrider"]
    assert names(runs(ecs, "other")["taskDefinition"]) == ["web"]
    guarded = runs(ecs, "one")["taskDefinition"]["taskDefinitionArn"]
    assert inject(guarded, "--remove", "--update")[0] == 0
    back = runs(ecs, "one")["taskDefinition"]
    before = ecs.describe_task_definition(taskDefinition=old)["taskDefinition"]
    differing = {key for key in {*back, *before} if back.get(key) != before.get(key)}
    assert differing <= {"taskDefinitionArn", "revision", "registeredAt", "volumes"}
    assert not back.get("volumes")


def test_a_revision_that_nobody_runs_is_said_to_update_nothing(ecs: Any, inject: Inject) -> None:
    """--update on an older revision than the one that runs would look as if it had guarded the service."""
    old = ecs.register_task_definition(**web())["taskDefinition"]["taskDefinitionArn"]
    serve(ecs, "one", web())
    code, _, err = inject(old, *OPTIONS, "--update")
    assert code == 0 and "no service runs web:1, so that none was updated" in err
    assert names(runs(ecs, "one")["taskDefinition"]) == ["web"]


def test_a_second_run_registers_nothing(ecs: Any, inject: Inject) -> None:
    """What is guarded already stays as it is."""
    old = serve(ecs, "web", web())
    inject(old, *OPTIONS, "--update")
    code, out, _ = inject("web:2", *OPTIONS, "--update")
    assert code == 0
    assert "guarded already" in out
    assert len(ecs.list_task_definitions(familyPrefix="web")["taskDefinitionArns"]) == 2


def test_a_service_is_named(ecs: Any, inject: Inject) -> None:
    """A service's ARN: its definition is rewritten and it is updated, whatever its tags say of walks."""
    serve(ecs, "web", web(), tags=[{"key": "OutriderManaged", "value": "false"}])
    arn = ecs.describe_services(cluster="prod", services=["web"])["services"][0]["serviceArn"]
    code, out, _ = inject(arn, *OPTIONS)
    assert code == 0
    assert out.startswith("guarded    prod/web")
    assert names(runs(ecs, "web")["taskDefinition"]) == ["web", "outrider"]


@pytest.mark.parametrize("how", ["--dry-run", "--diff", "--check"])
def test_nothing_is_changed_where_it_is_only_asked(ecs: Any, inject: Inject, how: str) -> None:
    """--dry-run, --diff and --check register and update nothing; --check exits with 1."""
    old = serve(ecs, "web", web())
    code, out, _ = inject(old, *OPTIONS, "--update", how)
    assert code == (1 if how == "--check" else 0)
    assert ('+  "pidMode": "task"' in out) == (how == "--diff")
    assert len(ecs.list_task_definitions()["taskDefinitionArns"]) == 1


def test_the_outcome_is_written_to_a_file_and_said_as_json(ecs: Any, inject: Inject, tmp_path: Path) -> None:
    """--output has what was registered, --json what was done."""
    old = serve(ecs, "web", web())
    code, out, _ = inject(old, *OPTIONS, "--json", "--output", tmp_path / "new.json")
    assert code == 0
    row = json.loads(out)[0]
    assert row["outcome"] == "registered"
    assert row["registered"].endswith("web:2")
    assert names(json.loads((tmp_path / "new.json").read_text())) == ["web", "outrider"]


def test_a_refused_definition_is_left_alone(ecs: Any, inject: Inject) -> None:
    """A definition that cannot be guarded is refused with path, reason and remedy, and exit code 2."""
    old = serve(ecs, "web", web(runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}))
    code, out, err = inject(old, *OPTIONS, "--update")
    assert code == 2
    assert "runtimePlatform.operatingSystemFamily: Outrider guards Linux containers only." in err
    assert out.startswith("refused")
    assert len(ecs.list_task_definitions()["taskDefinitionArns"]) == 1


@pytest.mark.parametrize(
    ("source", "code", "says"),
    [
        ("nothing:7", 2, "ECS refuses"),
        ("arn:aws:ecs:eu-west-1:123456789012:task-definition/nothing:7", 2, "ECS refuses"),
        ("arn:aws:ecs:eu-west-1:123456789012:service/prod/nothing", 2, "there is no service"),
        ("arn:aws:ecs:eu-west-1:123456789012:cluster/prod", 2, "clusters: --cluster NAME"),
        ("arn:aws:s3:::bucket", 2, "is the ARN of neither"),
    ],
)
def test_what_is_not_there_is_said(ecs: Any, inject: Inject, source: str, code: int, says: str) -> None:
    """Names of nothing are misuse, with AWS's reason."""
    found, _, err = inject(source, *OPTIONS)
    assert (found, says in err) == (code, True), err


def test_without_a_way_to_aws_it_is_not_possible_here(inject: Inject, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials, no network, no boto3: exit code 77 and what would help."""
    monkeypatch.setattr("botocore.endpoint.URLLib3Session.send", _unreachable)
    code, _, err = inject("web:1", *OPTIONS, "--endpoint-url", "http://127.0.0.1:1")
    assert code == 77
    assert "AWS was not reached" in err
    monkeypatch.setattr("outrider_cdk.deploying.aws.importlib.util.find_spec", lambda name: None)
    code, _, err = inject("web:1", *OPTIONS)
    assert code == 77
    assert "outrider[inject]" in err


def _unreachable(*_: Any, **__: Any) -> Any:
    from botocore.exceptions import NoCredentialsError

    raise NoCredentialsError()


def test_a_wait_that_takes_too_long_is_said(ecs: Any, inject: Inject, monkeypatch: pytest.MonkeyPatch) -> None:
    """--wait ends with exit code 2 and the service's name where it does not become steady."""
    monkeypatch.setattr(services, "WAIT_STEP_S", 0)
    monkeypatch.setattr(services, "WAIT_STEPS", 1)
    old = serve(ecs, "web", web())
    code, out, _ = inject(old, *OPTIONS, "--update", "--wait")
    steady = "failed" not in out
    assert code == (0 if steady else 2)
    assert steady or "not steady yet" in out


def test_names_are_told_apart() -> None:
    """ARNs of revisions and services, families with a revision; anything else is a file."""
    service = read_name("arn:aws-cn:ecs:cn-north-1:123456789012:service/prod/web")
    assert service is not None and (service.kind, service.cluster, service.region) == ("service", "prod", "cn-north-1")
    assert read_name("arn:aws:ecs:eu-west-1:123456789012:service/web").cluster == "default"  # type: ignore[union-attr]
    assert read_name("web:12").kind == "definition"  # type: ignore[union-attr]
    assert [read_name(text) for text in ("web", "web.json", "./a:b", "C:\\x", "web:", "-")] == [None] * 6
