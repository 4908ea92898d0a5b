"""boto3's ECS client, with what AWS refuses said in our words.

Everything in this folder goes through here; boto3 is imported when a client is made, so that files can be rewritten
without it.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from outrider_wire.errors import ConfigError, Unavailable

Client = Any
"""boto3's ECS client; boto3 makes its methods at run time and has no types."""

ATTEMPTS: Final = 10
"""Tries for each call; a walk over a large cluster is throttled."""
_RIGHTS: Final = "AccessDeniedException"
_MISUSE: Final = frozenset(
    (
        *("ClientException", "InvalidParameterException", "ClusterNotFoundException", "ServiceNotFoundException"),
        *("ServiceNotActiveException", "UnsupportedFeatureException", "PlatformUnknownException"),
        *(
            "TaskDefinitionNotFoundException",
            "PlatformTaskDefinitionIncompatibilityException",
            "LimitExceededException",
        ),
    )
)


def ecs_client(*, region: str = "", endpoint: str = "", profile: str = "") -> Client:
    """A client with the credentials that the environment gives. Raises Unavailable without boto3, region or profile."""
    if importlib.util.find_spec("boto3") is None:
        raise Unavailable("asking AWS needs boto3, which this install lacks", "install outrider[inject]")
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session(profile_name=profile) if profile else boto3
        settings = Config(retries={"max_attempts": ATTEMPTS, "mode": "adaptive"})
        return session.client("ecs", region_name=region or None, endpoint_url=endpoint or None, config=settings)
    except (BotoCoreError, ValueError) as error:
        raise Unavailable(str(error), "set AWS_REGION and AWS_PROFILE, or give --region and --profile") from error


@contextmanager
def asking(what: str) -> Iterator[None]:
    """What AWS refuses meanwhile, in our words; `what` says what was asked for.

    Raises ConfigError where what was asked for cannot be, Unavailable where it is not allowed or not reached.
    """
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError, WaiterError

    try:
        yield
    except ParamValidationError as error:
        lines = " ".join(str(error).split())
        raise ConfigError(f"{what}: ECS would not take this: {lines}") from error
    except ClientError as error:
        answer = error.response.get("Error", {})
        code, says = str(answer.get("Code", "")), str(answer.get("Message", error))
        if code in _MISUSE:
            raise ConfigError(f"{what}: ECS refuses: {says} ({code})") from error
        remedy = "see docs/deploy.md for the rights that are needed" if code == _RIGHTS else ""
        raise Unavailable(f"{what}: AWS refuses: {says} ({code})", remedy) from error
    except WaiterError as error:
        raise Unavailable(f"{what}: it is not steady yet: {error}", "look at the service's events") from error
    except BotoCoreError as error:
        raise Unavailable(f"{what}: AWS was not reached: {error}", "look at credentials, region and network") from error
