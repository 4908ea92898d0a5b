"""Task definitions as people have them, before they are guarded: one for each way of running tasks."""

from typing import Any, Final

from outrider_cdk.daemon import EXECUTION_ROLE

Json = dict[str, Any]
"""Any: the parameters of RegisterTaskDefinition, judged by botocore's model in the tests."""

TASK_ROLE: Final = "arn:aws:iam::111122223333:role/web"
DATABASE_SECRET: Final = "arn:aws:secretsmanager:REGION:111122223333:secret:database"


def _logs(group: str) -> Json:
    return {
        "logDriver": "awslogs",
        "options": {"awslogs-group": group, "awslogs-region": "REGION", "awslogs-stream-prefix": "ecs"},
    }


WEB_SERVICE: Final[Json] = {
    "family": "web",
    "requiresCompatibilities": ["FARGATE"],
    "runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"},
    "networkMode": "awsvpc",
    "cpu": "512",
    "memory": "1024",
    "executionRoleArn": EXECUTION_ROLE,
    "taskRoleArn": TASK_ROLE,
    "containerDefinitions": [
        {
            "name": "app",
            "image": "registry.example/web:1",
            "essential": True,
            "portMappings": [{"containerPort": 8080, "protocol": "tcp"}],
            "environment": [{"name": "STAGE", "value": "production"}],
            "secrets": [{"name": "DATABASE_URL", "valueFrom": DATABASE_SECRET}],
            "healthCheck": {"command": ["CMD-SHELL", "curl -fs http://localhost:8080/healthz"], "interval": 10},
            "logConfiguration": _logs("/web"),
        }
    ],
    "tags": [{"key": "team", "value": "shop"}],
}

WORKER: Final[Json] = {
    "family": "worker",
    "requiresCompatibilities": ["FARGATE"],
    "runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": "ARM64"},
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "1024",
    "executionRoleArn": EXECUTION_ROLE,
    "taskRoleArn": "arn:aws:iam::111122223333:role/worker",
    "containerDefinitions": [
        {
            "name": "worker",
            "image": "registry.example/worker:1",
            "essential": True,
            "command": ["work", "--queue", "orders"],
            "stopTimeout": 120,
            "logConfiguration": _logs("/worker"),
        }
    ],
}

MULTI_CONTAINER: Final[Json] = {
    "family": "shop",
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "1024",
    "memory": "2048",
    "executionRoleArn": EXECUTION_ROLE,
    "containerDefinitions": [
        {
            "name": "migrate",
            "image": "registry.example/shop:1",
            "essential": False,
            "command": ["migrate"],
            "cpu": 128,
            "memory": 256,
            "logConfiguration": _logs("/shop"),
        },
        {
            "name": "app",
            "image": "registry.example/shop:1",
            "essential": True,
            "cpu": 512,
            "memory": 1024,
            "dependsOn": [{"containerName": "migrate", "condition": "SUCCESS"}],
            "mountPoints": [{"sourceVolume": "static", "containerPath": "/static"}],
            "logConfiguration": _logs("/shop"),
        },
        {
            "name": "nginx",
            "image": "registry.example/nginx:1",
            "essential": True,
            "cpu": 256,
            "memory": 256,
            "portMappings": [{"containerPort": 80}],
            "mountPoints": [{"sourceVolume": "static", "containerPath": "/usr/share/nginx/html", "readOnly": True}],
            "logConfiguration": _logs("/shop"),
        },
    ],
    "volumes": [{"name": "static"}],
}

FIRELENS: Final[Json] = {
    "family": "routed",
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "512",
    "memory": "1024",
    "executionRoleArn": EXECUTION_ROLE,
    "containerDefinitions": [
        {
            "name": "log-router",
            "image": "registry.example/fluent-bit:1",
            "essential": True,
            "memoryReservation": 64,
            "firelensConfiguration": {"type": "fluentbit", "options": {"enable-ecs-log-metadata": "true"}},
            "logConfiguration": _logs("/log-router"),
        },
        {
            "name": "app",
            "image": "registry.example/web:1",
            "essential": True,
            "logConfiguration": {
                "logDriver": "awsfirelens",
                "options": {"Name": "firehose", "region": "REGION", "delivery_stream": "logs"},
            },
        },
    ],
}

EC2_BRIDGE: Final[Json] = {
    "family": "legacy",
    "requiresCompatibilities": ["EC2"],
    "networkMode": "bridge",
    "executionRoleArn": EXECUTION_ROLE,
    "containerDefinitions": [
        {
            "name": "cache",
            "image": "registry.example/redis:7",
            "essential": True,
            "memoryReservation": 128,
        },
        {
            "name": "app",
            "image": "registry.example/legacy:1",
            "essential": True,
            "memory": 512,
            "links": ["cache"],
            "portMappings": [{"containerPort": 8080, "hostPort": 0}],
            "logConfiguration": _logs("/legacy"),
        },
    ],
}

EC2_DAEMON: Final[Json] = {
    "family": "node-metrics",
    "requiresCompatibilities": ["EC2"],
    "networkMode": "host",
    "pidMode": "host",
    "executionRoleArn": EXECUTION_ROLE,
    "containerDefinitions": [
        {
            "name": "exporter",
            "image": "registry.example/node-exporter:1",
            "essential": True,
            "memory": 128,
            "command": ["--path.procfs=/host/proc"],
            "mountPoints": [{"sourceVolume": "proc", "containerPath": "/host/proc", "readOnly": True}],
            "logConfiguration": _logs("/node-metrics"),
        }
    ],
    "volumes": [{"name": "proc", "host": {"sourcePath": "/proc"}}],
}

MANAGED_INSTANCES: Final[Json] = {
    "family": "managed",
    "requiresCompatibilities": ["MANAGED_INSTANCES"],
    "networkMode": "awsvpc",
    "cpu": "1024",
    "memory": "2048",
    "executionRoleArn": EXECUTION_ROLE,
    "taskRoleArn": TASK_ROLE,
    "containerDefinitions": [
        {
            "name": "app",
            "image": "registry.example/web:1",
            "essential": True,
            "portMappings": [{"containerPort": 8080}],
            "logConfiguration": _logs("/managed"),
        }
    ],
}
