"""The register: every enrolment that was taken, beside the spool, without its token.

An agent's name is made of its key, and both signatures of its enrolment are over what is written here. So the spool and
the register together prove what an agent said to whoever has nothing else: no store, no collector, no trust in either.
One JSON object a line; a line that is torn is the last one and was answered to nobody.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from outrider_wire.enrolment import EnrolRequest, statement
from outrider_wire.errors import WireError
from outrider_wire.findings import TaskView
from outrider_wire.signing import agent_id, verify

FILE = "enrolments.jsonl"


class Registered(Struct, frozen=True):
    """One enrolment. Keys and signatures are bytes (base64 in the file)."""

    agent: str
    public_key: bytes
    resume_public_key: bytes
    made_at_ns: int
    signature: bytes
    resume_signature: bytes
    task: TaskView | None = None
    taken_at_ns: int = 0

    def check(self) -> None:
        """Raises WireError where the name or a signature does not hold."""
        if self.agent != agent_id(self.public_key):
            raise WireError("bad-signature", f"{self.agent} is not the name of its key")
        said = statement(self.public_key, self.task, self.made_at_ns, self.resume_public_key)
        verify(self.public_key, self.signature, said)
        verify(self.resume_public_key, self.resume_signature, said)


def register(directory: Path, request: EnrolRequest, taken_at_ns: int) -> None:
    """Write an enrolment down, on disk when this returns. Raises OSError."""
    entry = Registered(
        agent=agent_id(request.public_key),
        public_key=request.public_key,
        resume_public_key=request.resume_public_key,
        made_at_ns=request.made_at_ns,
        signature=request.signature,
        resume_signature=request.resume_signature,
        task=request.task,
        taken_at_ns=taken_at_ns,
    )
    fd = os.open(directory / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, msgspec.json.encode(entry) + b"\n")
        os.fdatasync(fd)
    finally:
        os.close(fd)


def read_register(directory: Path) -> Iterator[Registered]:
    """Every enrolment that can be read; whether it holds is another question. Raises OSError."""
    decoder = msgspec.json.Decoder(Registered)
    with open(directory / FILE, "rb") as lines:
        for line in lines:
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError:
                continue  # torn
