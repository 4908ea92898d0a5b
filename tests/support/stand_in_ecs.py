"""Task definitions and services for an ECS that stands in for the real one."""

import copy
import json
from pathlib import Path
from typing import Any

REGION = "eu-west-1"
IMAGE = "registry.example/outrider:1"
OPTIONS = ("--image", IMAGE, "--collector", "https://collector.example:8440")

WEB: dict[str, Any] = {
    "family": "web",
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "512",
    "taskRoleArn": "arn:aws:iam::123456789012:role/web",
    "executionRoleArn": "arn:aws:iam::123456789012:role/exec",
    "containerDefinitions": [
        {
            "name": "web",
            "image": "nginx:1.27",
            "essential": True,
            "environment": [{"name": "STAGE", "value": "prod"}],
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {"awslogs-group": "/web", "awslogs-region": REGION, "awslogs-stream-prefix": "web"},
            },
        }
    ],
}


def web(**changes: Any) -> dict[str, Any]:
    """A web service's definition, with other fields."""
    return {**copy.deepcopy(WEB), **changes}


def serve(ecs: Any, name: str, definition: dict[str, Any] | str, **fields: Any) -> str:
    """A service that runs a definition; the definition's ARN."""
    arn = definition
    if isinstance(definition, dict):
        arn = ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"]
    ecs.create_service(**{"cluster": "prod", "serviceName": name, "taskDefinition": arn, "desiredCount": 1, **fields})
    return str(arn)


def runs(ecs: Any, name: str, cluster: str = "prod") -> dict[str, Any]:
    """The definition that a service runs, as it is described, with its tags."""
    service = ecs.describe_services(cluster=cluster, services=[name])["services"][0]
    found: dict[str, Any] = ecs.describe_task_definition(taskDefinition=service["taskDefinition"], include=["TAGS"])
    return found


def names(definition: dict[str, Any]) -> list[str]:
    """The names of its containers."""
    return [each["name"] for each in definition["containerDefinitions"]]


def write(path: Path, document: Any) -> Path:
    """A file with a document as JSON."""
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path
