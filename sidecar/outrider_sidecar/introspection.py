"""Asking the ECS agent of a container instance what its tasks are, with short patience: it restarts, and is updated."""

from typing import Final

from outrider_sidecar.asking import ask
from outrider_sidecar.decode.introspection import InstanceFacts, parse_instance, parse_tasks
from outrider_sidecar.decode.metadata import TaskFacts
from outrider_wire.errors import Unavailable

TIMEOUT_S: Final = 1.0
WHAT: Final = "the ECS agent's introspection API"
REMEDY: Final = "set agent_uri; in bridge mode the agent of the host is not at localhost"


def fetch_instance(agent_uri: str) -> InstanceFacts:
    """The container instance and its cluster. Raises Unavailable."""
    try:
        return parse_instance(_get(agent_uri, "/v1/metadata"))
    except ValueError as error:
        raise Unavailable(f"{WHAT} at {agent_uri}: {error}", REMEDY) from error


def fetch_tasks(agent_uri: str, *, cluster: str = "") -> tuple[TaskFacts, ...]:
    """Every task of the instance with its containers, ended ones that the agent still keeps included.

    Raises Unavailable.
    """
    try:
        return parse_tasks(_get(agent_uri, "/v1/tasks"), cluster=cluster)
    except ValueError as error:
        raise Unavailable(f"{WHAT} at {agent_uri}: {error}", REMEDY) from error


def _get(agent_uri: str, path: str) -> bytes:
    answer = ask(agent_uri.rstrip("/") + path, what=WHAT, timeout_s=TIMEOUT_S)
    if answer.status != 200:
        raise Unavailable(f"{WHAT} at {agent_uri} answered {answer.status}", REMEDY)
    return answer.body
