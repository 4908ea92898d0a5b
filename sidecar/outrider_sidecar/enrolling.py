"""Enrolling: what the sidecar shows the collector to be let in: its token, its AWS identity, or both.

The AWS identity is signed anew each time, for it goes stale in minutes; nothing of it is kept. What it needs is loaded
when it is first wanted. By itself (`enrol = auto`) a sidecar shows the token it was given, and besides the role of its
task where ECS gives it one; without a token also the role of the instance it is on.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec.structs import replace

from outrider_sidecar.log import say
from outrider_sidecar.settings import Settings, token_of
from outrider_wire.aws_proof import AwsProof
from outrider_wire.enrolment import EnrolRequest
from outrider_wire.errors import ConfigError, DeliveryError, Unavailable

if TYPE_CHECKING:
    from outrider_sidecar.aws.credentials import CredentialSource

_OF_A_TASK = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")


class Enrolling:
    """Puts into an enrolment what it shows. For one thread; asking for credentials may take seconds."""

    def __init__(
        self,
        settings: Settings,
        *,
        environ: Mapping[str, str] = os.environ,
        clock_s: Callable[[], float] = time.time,
        make_source: "Callable[[Mapping[str, str]], CredentialSource] | None" = None,
    ) -> None:
        self._settings, self._environ, self._clock_s = settings, environ, clock_s
        self._make_source = make_source
        self._source: CredentialSource | None = None
        self._said = ""

    def show(self, request: EnrolRequest) -> EnrolRequest:
        """The request with what vouches for it. Raises DeliveryError where that cannot be had now."""
        how = self._settings.enrol
        try:
            token = token_of(self._settings) if how != "aws" else ""
        except ConfigError as error:
            raise DeliveryError(str(error)) from error
        if how == "token" or (how == "auto" and token and not any(map(self._environ.get, _OF_A_TASK))):
            return replace(request, token=token, aws=None)
        try:
            return replace(request, token=token, aws=self._prove(request))
        except Unavailable as error:
            if how != "auto" or not token:
                raise DeliveryError(f"there is no AWS identity to enrol with: {error}") from error
            self._say_once(str(error))
            return replace(request, token=token, aws=None)

    def _prove(self, request: EnrolRequest) -> AwsProof:
        from outrider_sidecar.aws.proof import make_proof, sts_url

        settings = self._settings
        credentials = self._credentials().get()
        region = self._region(request)
        collector = settings.collector_name or urlsplit(settings.collector_url).hostname or ""
        try:
            url = sts_url(region, settings.sts_endpoint or self._environ.get("AWS_ENDPOINT_URL_STS", ""))
            return make_proof(request, credentials, collector=collector, url=url, region=region, at_s=self._clock_s())
        except ValueError as error:
            raise Unavailable(str(error)) from error

    def _credentials(self) -> "CredentialSource":
        if self._source is None:
            from outrider_sidecar.aws.credentials import CredentialSource

            self._source = (self._make_source or CredentialSource)(self._environ)
        return self._source

    def _region(self, request: EnrolRequest) -> str:
        """The region whose STS is asked: as AWS's tools are told, else the task's own, else the instance's."""
        told = self._environ.get("AWS_REGION") or self._environ.get("AWS_DEFAULT_REGION")
        if told:
            return told
        if request.task is not None and request.task.arn.count(":") >= 5:
            return request.task.arn.split(":")[3]
        from outrider_sidecar.aws.instance import fetch_region

        return fetch_region()

    def _say_once(self, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            say("enrolling by token alone", reason=sentence)
