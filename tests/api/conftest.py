"""One collector for a file of tests, with a token of each role."""

from collections.abc import Iterator

import pytest
from api_stand import ROLES, Stand, Teller, standing


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A running collector."""
    with standing(tmp_path_factory.mktemp("stand"), body_timeout_s="2") as running:
        for role in ROLES:
            running.tokens[role] = running.make_token(role)[0]
        yield running


@pytest.fixture
def teller(stand: Stand) -> Teller:
    """An agent that is enrolled."""
    one = Teller(stand)
    assert one.enrol().status == 200
    return one
