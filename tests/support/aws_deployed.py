"""A synthesised template deployed to moto, and what AWS returns then.

moto 5.2 falls short of CloudFormation in three ways, which are made up for here. It makes no secrets: they are made by
its API, generated as the template says. It forgets all of a task definition but containers and volumes: that is
registered by ECS's own call instead, which botocore judges first. And it does not know the ARN of a file system.
"""

import json
import warnings
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import boto3
from moto.ecs.models import TaskDefinition, ecs_backends

from outrider_cdk.rewriting.casing import to_api

Json = dict[str, Any]
BOOTSTRAP = "/cdk-bootstrap/hnb659fds/version"
REGION, ACCOUNT = "eu-west-1", "123456789012"
LEFT_OUT = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard")
"""What moto's CloudFormation cannot make, and nothing else needs."""
SECRET, FILES = "AWS::SecretsManager::Secret", "AWS::EFS::FileSystem"


def deploy(template: Mapping[str, Any], *, name: str) -> None:
    """Create the stack. Raises botocore's ClientError; an AssertionError where it did not come about."""
    _bootstrap()
    body = json.dumps(_playable(json.loads(json.dumps(template))))
    client = boto3.client("cloudformation", region_name=REGION)
    registering = patch.object(TaskDefinition, "create_from_cloudformation_json", classmethod(_register))
    with warnings.catch_warnings(), registering:
        warnings.simplefilter("ignore")  # of resources that moto does not know
        client.create_stack(StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"])
    (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack


def definition_of(family: str) -> Json:
    """The task definition of this family, as ECS describes it."""
    client = boto3.client("ecs", region_name=REGION)
    found = client.list_task_definitions(familyPrefix=family)["taskDefinitionArns"]
    return dict(client.describe_task_definition(taskDefinition=found[-1])["taskDefinition"])


def read_secret(value_from: str) -> str:
    """What ECS puts into a variable for this `valueFrom`: a secret, or one field of it."""
    arn, _, rest = value_from.partition(":secret:")
    name, *field = rest.split(":")
    text = boto3.client("secretsmanager", region_name=REGION).get_secret_value(SecretId=f"{arn}:secret:{name}")
    value = str(text["SecretString"])
    return str(json.loads(value)[field[0]]) if field and field[0] else value


def _register(
    cls: type[TaskDefinition],
    resource_name: str,
    cloudformation_json: Json,
    account_id: str,
    region_name: str,
    **_: Any,
) -> TaskDefinition:
    """As CloudFormation does: RegisterTaskDefinition with the properties."""
    del cls, resource_name
    parameters = to_api(_named(cloudformation_json["Properties"]))
    parameters["tags"] = [{"key": tag["key"], "value": tag["value"]} for tag in parameters.get("tags", [])]
    made = boto3.client("ecs", region_name=region_name).register_task_definition(**parameters)
    arn = made["taskDefinition"]["taskDefinitionArn"]
    return ecs_backends[account_id][region_name].describe_task_definition(arn)


def _named(value: Any) -> Any:
    """The value with names in the place of moto's own objects, which it sometimes leaves there for a `Ref`."""
    if isinstance(value, dict):
        return {key: _named(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_named(entry) for entry in value]
    return getattr(value, "access_point_id", value)


def _bootstrap() -> None:
    """What `cdk bootstrap` leaves, as far as a template asks for it."""
    ssm = boto3.client("ssm", region_name=REGION)
    ssm.put_parameter(Name=BOOTSTRAP, Value="30", Type="String", Overwrite=True)


def _playable(template: Json) -> Json:
    resources: Json = template["Resources"]
    known = {}
    for name, resource in list(resources.items()):
        if resource["Type"] == SECRET:
            known[f'{{"Ref": "{name}"}}'] = _make_secret(name, resource["Properties"])
            del resources[name]
        elif resource["Type"] in LEFT_OUT:
            del resources[name]
        elif resource["Type"] == FILES:
            arn = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:file-system/fs-0123456789abcdef0"
            known[f'{{"Fn::GetAtt": ["{name}", "Arn"]}}'] = arn
    text = json.dumps(template)
    for reference, arn in known.items():
        text = text.replace(reference, json.dumps(arn))
    return dict(json.loads(text))


def _make_secret(name: str, properties: Json) -> str:
    """A secret as the template wants it generated."""
    client = boto3.client("secretsmanager", region_name=REGION)
    wanted = properties["GenerateSecretString"]
    template, key = json.loads(wanted.get("SecretStringTemplate", "{}")), wanted.get("GenerateStringKey")
    passed = {k: v for k, v in wanted.items() if k not in ("SecretStringTemplate", "GenerateStringKey")}
    made = client.get_random_password(**passed)["RandomPassword"]
    value = json.dumps({**template, key: made}) if key else made
    return str(client.create_secret(Name=name, SecretString=value)["ARN"])
