"""What both AWS targets need: a client by boto3's default chain, and what its errors mean.

boto3 is imported when the first client is made, by the export's own thread: it takes half a second, and some 40 MiB.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from outrider_wire.errors import DeliveryError

CONNECT_S: Final = 5
READ_S: Final = 20

AT_FAULT: Final = frozenset(
    {
        "InvalidInput",
        "InvalidInputException",
        "RequestEntityTooLarge",
        "SerializationException",
        "ValidationError",
        "ValidationException",
    }
)
"""Codes of errors that what was sent is to blame for; by all others the target is, and it is tried again."""
TRY_AGAIN: Final = ("Internal", "Throttl", "Limit", "Concurren", "Unavailable", "Timeout")
"""In codes of single findings that failed, and may not the next time."""


def make_client(service: str, *, region: str, endpoint: str) -> Any:
    """A client with credentials of the default chain, that tries once. Raises DeliveryError."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"total_max_attempts": 1},
        user_agent_extra="outrider",
    )
    with translated():
        session = boto3.session.Session()
        return session.client(service, region_name=region or None, endpoint_url=endpoint or None, config=config)


@contextmanager
def translated() -> Iterator[None]:
    """Errors of boto3 as DeliveryError."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    try:
        yield
    except ParamValidationError as error:
        raise DeliveryError(f"not as the API wants it: {error}"[:500], refused=True) from error
    except ClientError as error:
        raise _client_error(error.response) from error
    except (BotoCoreError, ValueError, OSError) as error:
        raise DeliveryError(f"{type(error).__name__}: {error}"[:500]) from error


def _client_error(response: Any) -> DeliveryError:
    told, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
    code, status = str(told.get("Code", "")), meta.get("HTTPStatusCode", 0)
    after = str(meta.get("HTTPHeaders", {}).get("retry-after", ""))
    return DeliveryError(
        f"{code or status}: {told.get('Message', '')}"[:500],
        retry_after_s=float(after) if after.isascii() and after.isdecimal() else None,
        refused=code in AT_FAULT or status == 413,
    )


def may_succeed_later(code: str) -> bool:
    """Whether a single failure is worth another try."""
    return any(word in code for word in TRY_AGAIN)
