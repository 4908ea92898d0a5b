"""AWS identity as one collector takes it: what its settings allow, and the way from a signed question to a name."""

from collections.abc import Callable, Mapping

from outrider_collector.identity.caller import Allowed, Identity, check_claim, identify
from outrider_collector.identity.endpoints import Endpoint, allowed_endpoints
from outrider_collector.identity.proof import check_proof
from outrider_collector.identity.sts import TIMEOUT_S, ask_sts
from outrider_collector.settings import Settings
from outrider_wire.aws_proof import AwsProof, is_collector_name
from outrider_wire.enrolment import EnrolRequest
from outrider_wire.errors import ConfigError

_ANYWHERE = frozenset({"", "0.0.0.0", "::"})


class AwsIdentity:
    """Proves identities. Safe from any thread; asking STS may take seconds."""

    def __init__(
        self,
        allowed: Allowed,
        endpoints: Mapping[str, Endpoint],
        *,
        collector: str,
        clock_s: Callable[[], float],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._allowed, self._endpoints, self._collector = allowed, endpoints, collector
        self._clock_s, self._timeout_s = clock_s, timeout_s

    def check(self, request: EnrolRequest, proof: AwsProof) -> Endpoint:
        """Look at the question without asking it. Raises WireError `aws-proof`."""
        return check_proof(request, proof, self._endpoints, collector=self._collector, now_s=self._clock_s())

    def ask(self, request: EnrolRequest, proof: AwsProof, endpoint: Endpoint) -> Identity:
        """Ask the question that was checked.

        Raises:
            WireError: `aws-refused` or `sts-unavailable` by STS; `aws-identity`, not one who is let in; `aws-proof`,
                the request names another task.
        """
        caller = ask_sts(endpoint, proof.headers, timeout_s=self._timeout_s)
        identity = identify(caller, self._allowed, partition=endpoint.partition)
        check_claim(identity, request.task)
        return identity


def read_aws_identity(settings: Settings, *, clock_s: Callable[[], float]) -> AwsIdentity | None:
    """AWS identity as the settings want it; None where they name no account. Raises ConfigError."""
    accounts = _words(settings.aws_accounts)
    allowed = Allowed(
        frozenset(accounts), tuple(_words(settings.aws_task_roles)), tuple(_words(settings.aws_instance_roles))
    )
    regions = _words(settings.aws_regions)
    if not accounts:
        if allowed.task_roles or allowed.instance_roles or regions or settings.sts_endpoint:
            raise ConfigError("aws_accounts is empty: no AWS identity is taken, so the other aws_ settings are in vain")
        if settings.enrolment in ("aws", "both"):
            raise ConfigError(f"enrolment is {settings.enrolment!r}, and aws_accounts names none that could enrol")
        return None
    for account in accounts:
        if len(account) != 12 or not account.isascii() or not account.isdecimal():
            raise ConfigError(f"aws_accounts: {account!r} is no account's number of 12 digits")
    if not allowed.task_roles and not allowed.instance_roles:
        raise ConfigError("aws_task_roles and aws_instance_roles are empty: nobody could enrol")
    if not regions and not settings.sts_endpoint:
        raise ConfigError("aws_regions is empty: name the regions whose STS may be asked")
    endpoints = allowed_endpoints(regions, settings.sts_endpoint)
    return AwsIdentity(allowed, endpoints, collector=collector_name(settings), clock_s=clock_s)


def collector_name(settings: Settings) -> str:
    """The name that agents sign for: `name`, else the host of `listen`. Raises ConfigError."""
    name = settings.name or settings.address[0]
    if not settings.name and name in _ANYWHERE:
        raise ConfigError("name is empty: set it to the host in the agents' collector_url (they sign for that name)")
    if not is_collector_name(name):
        raise ConfigError(f"name {name!r} must be ASCII without spaces")
    return name


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
