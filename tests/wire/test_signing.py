"""Keys: what one signs another cannot, and the secret half is never shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_wire.errors import WireError
from outrider_wire.signing import SigningKey, agent_id, verify


def test_a_signature_holds_for_its_bytes_alone() -> None:
    """The same key verifies what it signed, and nothing else."""
    key = SigningKey.generate()
    signature = key.sign(b"said")
    verify(key.public, signature, b"said")
    for public, data in ((key.public, b"Said"), (SigningKey.generate().public, b"said")):
        with pytest.raises(WireError, match="bad-signature"):
            verify(public, signature, data)


def test_a_seed_makes_the_same_key_again() -> None:
    """What is kept of a key is enough to be it again, and its repr does not tell it."""
    key = SigningKey.generate()
    again = SigningKey.from_seed(key.seed())
    assert (again.public, again.agent) == (key.public, agent_id(key.public))
    assert key.seed().hex() not in repr(key) and len(key.agent) == 32


@given(st.binary(max_size=70), st.binary(max_size=70), st.binary(max_size=10))
def test_any_key_and_signature_of_any_form_is_refused(public: bytes, signature: bytes, data: bytes) -> None:
    """Malformed keys and signatures raise WireError like wrong ones."""
    with pytest.raises(WireError, match="bad-signature"):
        verify(public, signature, data)
