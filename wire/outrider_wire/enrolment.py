"""Enrolment: how a collector comes to know an agent's key.

The sidecar sends an `EnrolRequest`; the new key signs what it says (so nobody enrols a key they do not hold),
and a successor's request is also signed by the resume key that the task's first enrolment registered. The resume
key lives on a volume of the sidecar alone: that is what tells a restarted sidecar from another container of the
same task.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from outrider_wire.aws_proof import AwsProof
from outrider_wire.errors import WireError
from outrider_wire.findings import TaskView
from outrider_wire.lists import ListsNotice
from outrider_wire.signing import KEY_BYTES, SIGNATURE_BYTES, SigningKey, verify

ENROL_VERSION = 1

MAX_ENROL_BYTES = 16 << 10
"""Longest enrolment request, in bytes."""

ENROL_CONTENT_TYPE = "application/vnd.outrider.enrol"

_DOMAIN = b"outrider enrolment 1\0"

_Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
_Signature = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


class EnrolRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key that wants to be known. `task` is None where no metadata endpoint told of one.

    `signature` is the new key's, `resume_signature` the resume key's, both over `statement`. `token` and `aws` say why
    the sender should be let in; either may be empty. They are outside of the statement: a successor that hands in its
    predecessor's request puts in its own.
    """

    version: Annotated[int, Meta(ge=1, le=255)]
    public_key: _Key
    token: Annotated[str, Meta(max_length=1024)]
    made_at_ns: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    resume_public_key: _Key
    signature: _Signature
    resume_signature: _Signature
    task: TaskView | None = None
    aws: AwsProof | None = None


class EnrolAnswer(Struct, frozen=True):
    """What the collector made of it. `reason` is `enrolled`, `known` or `successor`.

    `list_key` is the public key that its threat lists are signed with, empty where it has none.
    """

    agent: str
    accepted: bool
    reason: str
    collector_time_ns: int
    list_key: Annotated[bytes, Meta(max_length=KEY_BYTES)] = b""


class Receipt(Struct, frozen=True):
    """The collector's answer to a batch that it has on disk. `duplicate`: it had it already.

    `lists` says which threat lists are in force, None where there are none.
    """

    agent: str
    sequence: int
    duplicate: bool = False
    lists: ListsNotice | None = None


class Refusal(Struct, frozen=True):
    """Why the collector did not take a request: `code` for machines, `detail` for people."""

    code: str
    detail: str


def statement(public_key: bytes, task: TaskView | None, made_at_ns: int, resume_public_key: bytes) -> bytes:
    """The exact bytes that both signatures of an enrolment are over."""
    return _DOMAIN + msgspec.msgpack.encode((public_key, task, made_at_ns, resume_public_key))


def make_request(
    key: SigningKey,
    resume: SigningKey,
    *,
    token: str,
    task: TaskView | None,
    made_at_ns: int,
    aws: AwsProof | None = None,
) -> EnrolRequest:
    """An enrolment of `key`, vouched for by `resume`."""
    said = statement(key.public, task, made_at_ns, resume.public)
    return EnrolRequest(
        version=ENROL_VERSION,
        public_key=key.public,
        token=token,
        made_at_ns=made_at_ns,
        resume_public_key=resume.public,
        signature=key.sign(said),
        resume_signature=resume.sign(said),
        task=task,
        aws=aws,
    )


def encode_request(request: EnrolRequest) -> bytes:
    """The request as it travels."""
    return msgspec.msgpack.encode(request)


_decoder = msgspec.msgpack.Decoder(EnrolRequest)


def read_request(data: bytes) -> EnrolRequest:
    """Read and check an enrolment; both signatures hold for the keys it names when this returns.

    Raises:
        WireError: `too-large`, `bad-request`, `unknown-version` or `bad-signature`.
    """
    if len(data) > MAX_ENROL_BYTES:
        raise WireError("too-large", f"an enrolment of {len(data)} bytes; at most {MAX_ENROL_BYTES} are taken")
    try:
        request = _decoder.decode(data)
    except (ValueError, RecursionError, OverflowError) as error:
        raise WireError("bad-request", str(error)[:200]) from error
    if request.version != ENROL_VERSION:
        raise WireError("unknown-version", f"enrolment version {request.version}; this end speaks {ENROL_VERSION}")
    said = statement(request.public_key, request.task, request.made_at_ns, request.resume_public_key)
    verify(request.public_key, request.signature, said)
    verify(request.resume_public_key, request.resume_signature, said)
    return request
