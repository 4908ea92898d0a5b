"""`OutriderCollector`: it runs what the image is, is told what the collector knows, and may do what it must."""

import json
import re
import string
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import cdk_apps
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_sns as sns
from cdk_apps import Json, Written, containers, new_collector, new_stack
from databases import SUPERUSER, Postgres

from outrider_cdk import MANAGED, Admission, Outrider, OutriderCollector
from outrider_cdk.constructs.collector import entry, image, watching
from outrider_collector.api.health import OPERATIONS
from outrider_collector.export.configuration import EventBridge, Lines, SecurityHub, load_exports
from outrider_collector.lists.keys import read_list_key
from outrider_collector.settings import Settings, load_settings
from outrider_collector.store.database import open_database
from outrider_lab.defined import read_target
from outrider_wire.errors import ConfigError
from outrider_wire.findings import Finding

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"
ROLES = Admission(enrolment="aws", accounts=("123456789012",), task_roles=("web-*",))


def written(**choices: Any) -> Written:
    """A synthesised stack with a collector in it."""
    stack = new_stack()
    bus = events.EventBus.from_event_bus_name(stack, "Bus", "default")
    new_collector(stack, security_hub=True, event_bus=bus, **choices)
    return Written(stack)


def resources(template: Json, kind: str) -> list[Json]:
    """The properties of resources of one type."""
    return [each.get("Properties", {}) for each in template["Resources"].values() if each["Type"] == kind]


def told(definition: Json) -> dict[str, str]:
    """The collector's environment; a stand-in for what is known later, and for secrets."""
    (container,) = definition["containerDefinitions"]
    plain = {entry["name"]: _text(entry["value"]) for entry in container["environment"]}
    values = {"OUTRIDER_COLLECTOR_LISTS_KEY": "0f" * 32}
    return plain | {
        each["name"]: values.get(each["name"], f"a-secret-called-{each['name']}") for each in container["secrets"]
    }


def _text(value: Any) -> str:
    """A value as CloudFormation might make it."""
    if isinstance(value, dict) and "Fn::Join" in value:
        between, parts = value["Fn::Join"]
        return str(between).join(_text(part) for part in parts)
    return value if isinstance(value, str) else "10.0.0.0/16"


@pytest.mark.parametrize("store", ["sqlite", "aurora"])
def test_the_collector_takes_what_it_is_told(store: str) -> None:
    """Its own loader reads the environment of each definition, and what follows from the arguments is in it."""
    for definition in written(store=store, admission=ROLES).definitions().values():
        environment = told(definition)
        ours = {name: value for name, value in environment.items() if name.startswith("OUTRIDER_COLLECTOR_")}
        settings = load_settings({**ours, **_image_env()})
        assert settings.name == cdk_apps.DOMAIN
        assert (settings.enrolment, settings.aws_task_roles) == ("aws", "web-*")
        assert settings.aws_regions == cdk_apps.REGION
        assert settings.trusted_proxies
        assert settings.lake.startswith("s3://") and settings.lake.endswith("/outrider")
        assert settings.database.startswith("postgresql://") == (store == "aurora")
        assert {type(each) for each in load_exports(settings.exports, "")} == {Lines, SecurityHub, EventBridge}
        assert ("PGPASSWORD" in environment) == (store == "aurora")


def _image_env() -> dict[str, str]:
    """What the image adds."""
    return {name: value for name, value in read_target(DOCKERFILE, "collector").env.items() if "COLLECTOR" in name}


def test_every_setting_has_its_place() -> None:
    """Each of the collector's settings is the construct's, the user's, or said to be of no use here."""
    assert set(Settings.__struct_fields__) == image.OURS | image.FREE | image.UNUSED
    assert len(image.OURS) + len(image.FREE) + len(image.UNUSED) == len(Settings.__struct_fields__)


def test_it_runs_what_the_image_is() -> None:
    """Port, folder and user are the Dockerfile's; the command is left to it; the health paths are the collector's."""
    target = read_target(DOCKERFILE, "collector")
    text = DOCKERFILE.read_text().split(" AS collector")[1]
    assert target.user == f"{image.USER_ID}:{image.USER_ID}"
    assert target.env["OUTRIDER_COLLECTOR_LISTEN"] == f"0.0.0.0:{image.PORT}"
    assert f"EXPOSE {image.PORT}" in text and f"VOLUME {image.DATA_DIR}" in text
    assert {image.ALIVE_PATH, image.READY_PATH} == {each.path for each in OPERATIONS}
    definition = written().definition()
    (container,) = definition["containerDefinitions"]
    assert "command" not in container and "entryPoint" not in container
    assert container["readonlyRootFilesystem"]
    assert container["mountPoints"] == [{"sourceVolume": "data", "containerPath": image.DATA_DIR, "readOnly": False}]


def test_a_folder_has_one_task_at_a_time() -> None:
    """Each collector is a service of one task, stopped before the next is started, with a folder of its own."""
    template = written(store="aurora", collectors=3).template()
    services = resources(template, "AWS::ECS::Service")
    assert len(services) == len(resources(template, "AWS::EFS::AccessPoint")) == 3
    for service in services:
        deployment = service["DeploymentConfiguration"]
        assert (service["DesiredCount"], deployment["MaximumPercent"], deployment["MinimumHealthyPercent"]) == (
            1,
            100,
            0,
        )
        assert service["AvailabilityZoneRebalancing"] == "DISABLED"
        assert service["PlatformVersion"] == "1.4.0"
        assert len(service["LoadBalancers"]) == 1
    paths = {each["RootDirectory"]["Path"] for each in resources(template, "AWS::EFS::AccessPoint")}
    assert len(paths) == 3


def test_it_is_reached_by_tls_alone() -> None:
    """One listener with TLS 1.2 at least, which lets go of connections before the collector does; closed to others."""
    template = written().template()
    (listener,) = resources(template, "AWS::ElasticLoadBalancingV2::Listener")
    assert (listener["Port"], listener["Protocol"]) == (443, "HTTPS")
    assert "TLS13" in listener["SslPolicy"]
    (balancer,) = resources(template, "AWS::ElasticLoadBalancingV2::LoadBalancer")
    attributes = {each["Key"]: each["Value"] for each in balancer["LoadBalancerAttributes"]}
    assert int(attributes["idle_timeout.timeout_seconds"]) == entry.IDLE_S < _keep_alive_s()
    assert balancer["Scheme"] == "internal"
    (group,) = resources(template, "AWS::ElasticLoadBalancingV2::TargetGroup")
    assert (group["HealthCheckPath"], group["Port"], group["Protocol"]) == ("/healthz", image.PORT, "HTTP")
    opened = [
        rule for each in resources(template, "AWS::EC2::SecurityGroup") for rule in each.get("SecurityGroupIngress", [])
    ]
    assert [rule["ToPort"] for rule in opened] == [443]
    assert "0.0.0.0/0" not in json.dumps(opened)


def _keep_alive_s() -> int:
    source = (Path(entry.__file__).parents[4] / "collectors/outrider_collector/app.py").read_text()
    found = re.search(r"timeout_keep_alive=(\d+)", source)
    assert found
    return int(found[1])


def test_it_may_do_what_it_must_and_no_more() -> None:
    """No statement of ours has a wildcard but the lake's files; each is held to its own resource."""
    template = written().template()
    policies = resources(template, "AWS::IAM::Policy")
    found = {one["Sid"]: one for each in policies for one in each["PolicyDocument"]["Statement"] if "Sid" in one}
    assert set(found) == {
        "ItsOwnFolder", "FilesOfTheLake", "ListOfTheLake", "FindingsToSecurityHub", "FindingsToEventBridge"
    }  # fmt: skip
    assert "elasticfilesystem:ClientRootAccess" not in json.dumps(found)
    assert all("*" not in action for one in found.values() for action in _as_list(one["Action"]))
    assert json.dumps(found["FilesOfTheLake"]["Resource"]).endswith('/outrider/*"]]}')
    assert "*" not in json.dumps([one["Resource"] for sid, one in found.items() if sid != "FilesOfTheLake"])
    assert "default" in json.dumps(found["FindingsToSecurityHub"]["Resource"])


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_what_holds_data_stays_unless_asked() -> None:
    """Deleting the stack keeps data, tokens and logs; with DESTROY it does not, and nothing forbids it."""
    kept = written(store="aurora").template()["Resources"]
    kinds = ("AWS::EFS::FileSystem", "AWS::S3::Bucket", "AWS::SecretsManager::Secret", "AWS::Logs::LogGroup")
    ours = {name: each for name, each in kept.items() if each["Type"] in kinds and "Network" not in name}
    assert len(ours) >= 8
    gone_with_it = {name for name, each in ours.items() if each["DeletionPolicy"] != "Retain"}
    assert all("DatabaseSecret" in name for name in gone_with_it)  # a cluster that is kept takes a new password
    gone = written(store="aurora", removal_policy=cdk.RemovalPolicy.DESTROY).template()
    assert all(each["DeletionPolicy"] == "Delete" for each in gone["Resources"].values() if each["Type"] in kinds[:2])
    (cluster,) = resources(gone, "AWS::RDS::DBCluster")
    assert cluster["DeletionProtection"] is False


def test_old_events_go_and_commit_marks_stay() -> None:
    """The lake's lifecycle ends Parquet files a week after the collector should have, and nothing beside them."""
    bucket = next(
        each
        for each in resources(written(lake_days=90).template(), "AWS::S3::Bucket")
        if "LoggingConfiguration" in each
    )
    rules = {each["Id"]: each for each in bucket["LifecycleConfiguration"]["Rules"]}
    assert (rules["old-events"]["Prefix"], rules["old-events"]["ExpirationInDays"]) == ("outrider/ext/", 97)
    assert "ExpirationInDays" not in rules["unfinished-uploads"]


def test_alarms_tell_their_topic_and_are_on_the_dashboard() -> None:
    """Every alarm has an action, and the page shows each."""
    stack = new_stack()
    made = new_collector(stack, alarm_topic=sns.Topic(stack, "Topic"), store="aurora")
    template = Written(stack).template()
    alarms = resources(template, "AWS::CloudWatch::Alarm")
    assert len(alarms) == len(made.alarms) == 7
    assert all(each["AlarmActions"] and each["OKActions"] and each["AlarmDescription"] for each in alarms)
    (dashboard,) = resources(template, "AWS::CloudWatch::Dashboard")
    names = [name for name, each in template["Resources"].items() if each["Type"] == "AWS::CloudWatch::Alarm"]
    assert all(name in json.dumps(dashboard) for name in names)


def test_what_alarms_count_is_in_the_log() -> None:
    """The filters name fields and types that the collector's own lines have."""
    fields = set(re.findall(r"\$\.finding\.(\w+)", " ".join(watching.PATTERNS.values())))
    assert fields <= set(Finding.__struct_fields__)
    types = re.findall(r'"(Outrider:Integrity/\w+)"', " ".join(watching.PATTERNS.values()))
    documented = (DOCKERFILE.parent / "docs/operations.md").read_text()
    assert types and all(f"`{each.rpartition('/')[2]}`" in documented for each in types)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"collectors": 2}, "cannot share SQLite"),
        ({"store": "mysql"}, "'sqlite' or 'aurora'"),
        ({"settings": {"tokn": "x"}}, "no setting 'tokn'; did you mean 'token'"),
        ({"settings": {"token": "x"}}, "follows from the construct's own arguments"),
        ({"settings": {"tls_cert": "x"}}, "cannot be given here"),
        ({"admission": Admission(enrolment="aws")}, "needs accounts"),
        ({"admission": Admission(accounts=("123456789012",))}, "make it 'any' or 'both'"),
        ({"admission": Admission(enrolment="aws", accounts=("12",), task_roles=("a",))}, "twelve digits"),
        ({"collectors": 0}, "one collector at least"),
    ],
)
def test_choices_that_do_not_go_together_are_refused(choices: dict[str, Any], said: str) -> None:
    """At the line where they are made, with what to do."""
    with pytest.raises(ValueError, match=re.escape(said)):
        new_collector(new_stack(), **choices)


def test_without_tls_there_is_no_collector() -> None:
    """Neither a certificate nor a zone to have one made in."""
    stack = new_stack()
    with pytest.raises(ValueError, match="needs a certificate"):
        OutriderCollector(
            stack,
            "Collector",
            vpc=ec2.Vpc(stack, "Network", availability_zones=["eu-west-1a", "eu-west-1b"]),
            domain_name=cdk_apps.DOMAIN,
            image=cdk.aws_ecs.ContainerImage.from_registry(cdk_apps.COLLECTOR_IMAGE),
        )


def test_all_of_an_app_is_guarded_but_its_collector() -> None:
    """`guard_all` leaves the collector alone and says so; a service enrols with its token."""
    stack = new_stack()
    collector = new_collector(stack)
    definition = cdk_apps.fargate(stack)
    cdk_apps.add_app(definition)
    Outrider.guard_all(stack, image=cdk_apps.SIDECAR_IMAGE, collector=collector)
    made = Written(stack)
    guarded = {name: containers(each) for name, each in made.definitions().items()}
    assert {name: "outrider" in each for name, each in guarded.items()} == {
        next(n for n in guarded if n.startswith("Task")): True,
        next(n for n in guarded if n.startswith("Collector")): False,
    }
    assert any(MANAGED in note and "/Collector/" in note for note in made.notes())
    (sidecar,) = [each["outrider"] for each in guarded.values() if "outrider" in each]
    assert {entry["name"] for entry in sidecar["secrets"]} == {"OUTRIDER_TOKEN"}
    assert f"https://{cdk_apps.DOMAIN}" in [entry["value"] for entry in sidecar["environment"]]


def test_user_and_password_come_from_the_environment(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL of the task definition names neither: the driver takes PGUSER and PGPASSWORD, as ECS puts them there."""
    url = postgres.create()
    monkeypatch.setenv("PGUSER", SUPERUSER)
    monkeypatch.setenv("PGPASSWORD", "not-asked-for")
    engine = open_database(url.replace(f"{SUPERUSER}@", ""))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT current_user").scalar() == SUPERUSER
    engine.dispose()


def test_the_lists_key_is_one_that_the_collector_takes() -> None:
    """What Secrets Manager is told to generate is 64 hexadecimal digits; anything else is refused without saying it."""
    (wanted,) = [
        each["GenerateSecretString"]
        for each in resources(written().template(), "AWS::SecretsManager::Secret")
        if each["GenerateSecretString"]["PasswordLength"] == 64
    ]
    excluded = set(wanted["ExcludeCharacters"])
    assert set(string.ascii_lowercase) - excluded == set("abcdef")
    assert wanted["ExcludeUppercase"] and wanted["ExcludePunctuation"]
    assert read_list_key("0f" * 32).public == read_list_key("0F" * 32 + "\n").public
    with pytest.raises(ConfigError, match="64 hexadecimal digits") as refused:
        read_list_key("secret-words")
    assert "secret-words" not in str(refused.value)
