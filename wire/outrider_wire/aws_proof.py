"""Proof of an AWS identity: a signed question to STS, "who am I?", that the collector asks in the sender's place.

What is asked is the same always, so it does not travel: `METHOD` to the root of an STS endpoint with `BODY`. What
travels is the endpoint and the headers, all of them signed. Three of them are no business of STS: they bind the proof
to the key that is to be enrolled, to the resume key, and to the one collector it is meant for. Whoever captures it can
show it to nobody else and for no other key, and it goes stale in minutes.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

METHOD: Final = "POST"
BODY: Final = b"Action=GetCallerIdentity&Version=2011-06-15"
FORM: Final = "application/x-www-form-urlencoded"

PUBLIC_KEY_HEADER: Final = "x-outrider-public-key"
RESUME_KEY_HEADER: Final = "x-outrider-resume-key"
COLLECTOR_HEADER: Final = "x-outrider-collector"

SIGNED_HEADERS: Final = (
    *("content-type", "host", "x-amz-date", "x-amz-security-token"),
    *(COLLECTOR_HEADER, PUBLIC_KEY_HEADER, RESUME_KEY_HEADER),
)
"""The headers that are signed, in the order in which a signature names them. `authorization` comes besides."""

MAX_NAME_LENGTH: Final = 253
"""Longest name of a collector: that of a host."""


class AwsProof(Struct, frozen=True):
    """The signed question: the endpoint, and each header by its name in lower case."""

    url: Annotated[str, Meta(max_length=300)]
    headers: Annotated[
        dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=8192)]], Meta(max_length=16)
    ]


def binding_headers(public_key: bytes, resume_public_key: bytes, collector: str) -> dict[str, str]:
    """The headers that say what a proof is for."""
    return {
        PUBLIC_KEY_HEADER: public_key.hex(),
        RESUME_KEY_HEADER: resume_public_key.hex(),
        COLLECTOR_HEADER: collector,
    }


def is_collector_name(name: str) -> bool:
    """Whether a collector can be called so: it stands in a header, so it is ASCII without spaces."""
    return 0 < len(name) <= MAX_NAME_LENGTH and name.isascii() and name.isprintable() and " " not in name
