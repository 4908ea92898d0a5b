"""Admission: what a request to enrol proves of its sender, by token, by AWS identity, or both.

It is found out before the store decides anything: a token by its digest, an AWS identity by asking STS, once the
request has passed every check that needs nobody else. Whoever is refused again and again is made to wait.
"""

import hashlib
import hmac
import logging
import threading
from collections.abc import Callable

from sqlalchemy import Engine

from outrider_collector.enrol import Admission
from outrider_collector.identity.aws import AwsIdentity, read_aws_identity
from outrider_collector.identity.caller import Identity
from outrider_collector.identity.tasks import subject_of_task
from outrider_collector.limits import Limiter
from outrider_collector.settings import Settings
from outrider_collector.store.tokens import load_token
from outrider_collector.tokens import check_scope, check_token, token_id
from outrider_wire.aws_proof import AwsProof
from outrider_wire.enrolment import EnrolRequest
from outrider_wire.errors import WireError

REFUSALS_PER_S = 1
"""Refusals that one address is told of in the long run. Past that it is told to come later, and STS is not asked; a
good token is taken all the while."""

FORGED = frozenset({"aws-proof", "aws-refused"})
"""What is refused whatever else is shown: an honest sidecar sends no such thing."""

log = logging.getLogger("outrider.collector")


class Admitter:
    """Says what requests prove. Safe from any thread; it may wait for the database, and for STS.

    Raises:
        ConfigError: the settings of AWS identity do not hold.
    """

    def __init__(self, settings: Settings, engine: Engine, *, clock_ns: Callable[[], int]) -> None:
        self._settings, self._engine, self._clock_ns = settings, engine, clock_ns
        self._configured = _hash(settings.token) if settings.token else None
        self._aws = read_aws_identity(settings, clock_s=lambda: clock_ns() / 1e9)
        self._refusals = Limiter(REFUSALS_PER_S if settings.enrolment_refusals else 0, settings.enrolment_refusals)
        self._lock = threading.Lock()

    def admit(self, request: EnrolRequest, source: str) -> Admission:
        """What a request proves; `source` is the address it came from.

        Raises:
            WireError: it proves nothing that is wanted here, or something is forged.
            Limited: too much from that address was refused. SQLAlchemyError.
        """
        try:
            return self._admit(request, source)
        except WireError as error:
            if error.code != "sts-unavailable":
                self._spend(source, 1)
            log.warning("an enrolment from %s is refused: %s", source, error)
            raise

    def _admit(self, request: EnrolRequest, source: str) -> Admission:
        subject = subject_of_task(request.task.arn) if request.task else ""
        refused: list[WireError] = []
        token = self._by_token(request, refused)
        identity = self._by_aws(request, source, refused)
        proofs = "+".join(word for word, held in (("aws", identity), ("token", token is not None)) if held)
        admission = Admission(
            proofs=proofs,
            subject=identity.subject if identity else subject,
            identity=identity,
            token=token or "",
            source=source[:64],
        )
        needed = {"both": {"aws", "token"}, "aws": {"aws"}, "token": {"token"}}.get(self._settings.enrolment, set())
        if proofs and needed <= set(proofs.split("+")):
            return admission
        why = _most_telling(refused, needed or {"token"})
        if identity is None:  # somebody who proved to be of a task is heard, and told of, where it has a key
            raise why
        return _wanting(admission, why)

    def _by_token(self, request: EnrolRequest, refused: list[WireError]) -> str | None:
        """The id of the token that was shown; empty for the configured one, None for none that holds."""
        if not request.token or self._settings.enrolment == "aws":
            return None
        if self._configured is not None and hmac.compare_digest(_hash(request.token), self._configured):
            return ""
        try:
            found = token_id(request.token)
            kept = None
            if found:
                with self._engine.connect() as connection:
                    kept = load_token(connection, found)
            token = check_token(request.token, kept, ("enrol",), self._clock_ns())
            check_scope(token, request.task)
            return token.id
        except WireError as error:
            refused.append(error)
            return None

    def _by_aws(self, request: EnrolRequest, source: str, refused: list[WireError]) -> Identity | None:
        if self._aws is None or request.aws is None or self._settings.enrolment == "token":
            return None
        try:
            return self._ask(self._aws, request, request.aws, source)
        except WireError as error:
            if error.code in FORGED:
                raise
            refused.append(error)
            return None

    def _ask(self, aws: AwsIdentity, request: EnrolRequest, proof: AwsProof, source: str) -> Identity:
        endpoint = aws.check(request, proof)
        self._spend(source, 0)
        return aws.ask(request, proof, endpoint)

    def _spend(self, source: str, refusals: int) -> None:
        with self._lock:
            self._refusals.spend(source, refusals)


def _wanting(admission: Admission, why: WireError) -> Admission:
    return Admission(
        proofs=admission.proofs,
        subject=admission.subject,
        identity=admission.identity,
        source=admission.source,
        wanting=(why.code, why.detail),
    )


def _most_telling(refused: list[WireError], needed: set[str]) -> WireError:
    """Of several refusals the first; where nothing was even tried, what would have been needed."""
    if refused:
        return refused[0]
    words = {"token": "a token", "aws": "an AWS identity"}
    return WireError("proof-needed", f"this collector enrols by {' and '.join(words[each] for each in sorted(needed))}")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
