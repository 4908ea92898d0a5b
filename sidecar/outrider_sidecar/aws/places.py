"""Where in AWS something is: partition and region, as every ARN has them."""

import os
from collections.abc import Callable, Mapping

from outrider_sidecar.aws.credentials import CredentialSource
from outrider_sidecar.aws.ecs_tags import EcsTags
from outrider_wire.errors import Unavailable
from outrider_wire.findings import TaskView


def place_of(arn: str) -> tuple[str, str]:
    """Partition and region of an ARN, `arn:partition:service:region:account:…`. Raises ValueError."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn" or not parts[3].replace("-", "").isalnum() or not parts[3].isascii():
        raise ValueError(f"{arn!r} names no region")
    return parts[1], parts[3]


def reach_ecs(environ: Mapping[str, str] = os.environ) -> Callable[[TaskView], EcsTags]:
    """What asks the ECS API of a task's own region, with the guard's own credentials.

    AWS_ENDPOINT_URL_ECS, or AWS_ENDPOINT_URL, names another address, as for AWS's own tools.
    """
    credentials = CredentialSource(environ)
    endpoint = environ.get("AWS_ENDPOINT_URL_ECS") or environ.get("AWS_ENDPOINT_URL") or ""

    def reach(task: TaskView) -> EcsTags:
        try:
            partition, region = place_of(task.arn)
        except ValueError as error:
            raise Unavailable(str(error)) from error
        return EcsTags(region, credentials.get, partition=partition, endpoint=endpoint)

    return reach
