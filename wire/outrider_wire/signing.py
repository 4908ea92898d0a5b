"""Ed25519 keys: who an agent is, and what it has said.

An agent is its public key; its id is the first 32 hex digits of the key's SHA-256, short enough to read and long
enough that nobody makes a second key with the same one.
"""

import functools
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from outrider_wire.errors import WireError

KEY_BYTES = 32

SIGNATURE_BYTES = 64

AGENT_ID_LENGTH = 32

MAX_KEYS = 16_384
"""Most public keys kept read, some 1 KiB each."""


class SigningKey:
    """A private Ed25519 key. It is never shown: its repr names the public half only."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public: bytes = private.public_key().public_bytes_raw()
        self.agent: str = agent_id(self.public)

    @classmethod
    def generate(cls) -> "SigningKey":
        """Make a new key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> "SigningKey":
        """The key that 32 secret bytes stand for. Raises ValueError for any other length."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def seed(self) -> bytes:
        """The 32 secret bytes, to be kept 0600."""
        return self._private.private_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """Sign the exact bytes: 64 bytes, the same each time."""
        return self._private.sign(data)

    def __repr__(self) -> str:
        return f"SigningKey(agent={self.agent})"


def agent_id(public: bytes) -> str:
    """The id of the agent that holds this public key."""
    return hashlib.sha256(public).hexdigest()[:AGENT_ID_LENGTH]


def verify(public: bytes, signature: bytes, data: bytes) -> None:
    """Check that the holder of `public` signed exactly `data`.

    Raises:
        WireError: `bad-signature`, also when the key or the signature has no such form.
    """
    try:
        _read_key(public).verify(signature, data)
    except (InvalidSignature, ValueError) as error:
        raise WireError("bad-signature", "the signature does not fit these bytes and this key") from error


@functools.lru_cache(maxsize=MAX_KEYS)
def _read_key(public: bytes) -> Ed25519PublicKey:
    """A key that speaks is heard again: reading it takes a tenth of checking what it signed. Raises ValueError."""
    return Ed25519PublicKey.from_public_bytes(public)
