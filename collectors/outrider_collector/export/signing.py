"""Signatures of webhooks: a receiver can tell who sent a request, that nobody changed it, and that it is not old.

    Outrider-Timestamp: 1767225600
    Outrider-Signature: v1=5257a8…, v1=8f8cbd…

Each signature is HMAC-SHA256 in hex of `v1:`, the timestamp as it stands, `:` and the body's bytes, one for each
secret of the sender: so a secret is changed by giving the sender both for a while. A receiver computes its own,
compares in constant time, and refuses a timestamp more than `WINDOW_S` from its clock: that bounds replays. Within
the window a request may come again, under the same id and `change`, as after any failure.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

TIMESTAMP: Final = "Outrider-Timestamp"
SIGNATURE: Final = "Outrider-Signature"
WINDOW_S: Final = 300
SHORTEST_SECRET: Final = 16
MAX_SECRETS: Final = 4


def sign(secrets: Sequence[bytes], body: bytes, *, now_s: int) -> dict[str, str]:
    """The headers for a body."""
    timestamp = str(now_s)
    signatures = [f"v1={_signature(secret, timestamp, body)}" for secret in secrets]
    return {TIMESTAMP: timestamp, SIGNATURE: ", ".join(signatures)}


def verify(secret: bytes, timestamp: str, signature: str, body: bytes, *, now_s: float) -> bool:
    """Whether both headers hold for a body; what a receiver does."""
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return False
    if abs(now_s - int(timestamp)) > WINDOW_S:
        return False
    right = f"v1={_signature(secret, timestamp, body)}".encode()
    given = [part.strip().encode("utf-8", "replace") for part in signature.split(",")[:MAX_SECRETS]]
    return sum(hmac.compare_digest(right, each) for each in given) > 0  # all are compared, whichever holds


def read_secrets(text: str) -> list[bytes]:
    """The secrets of a file, one a line. Raises ValueError for none, too many, or one that is too short."""
    secrets = [line.strip().encode() for line in text.splitlines() if line.strip()]
    if not 1 <= len(secrets) <= MAX_SECRETS:
        raise ValueError(f"{len(secrets)} secrets; there must be from 1 to {MAX_SECRETS}, one a line")
    if any(len(secret) < SHORTEST_SECRET for secret in secrets):
        raise ValueError(f"a secret must have {SHORTEST_SECRET} bytes or more")
    return secrets


def _signature(secret: bytes, timestamp: str, body: bytes) -> str:
    return hmac.new(secret, b"v1:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
