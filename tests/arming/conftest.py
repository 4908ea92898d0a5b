"""Falco's stock files with the real catalogue, or a skip where they are not at hand."""

from pathlib import Path

import pytest

from outrider_rules import RuleSet
from outrider_sidecar.rulebook import load_rulebook

FILES = ("falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")
PLACE = Path("shared") / "corpora" / "falco-rules"


@pytest.fixture(scope="session")
def stock() -> RuleSet:
    """Our own pack and the three stock files, unchanged, in their order."""
    for above in Path(__file__).parents:
        if all((above / PLACE / name).is_file() for name in FILES):
            return load_rulebook([str(above / PLACE / name) for name in FILES])
    pytest.skip("shared data: Falco's stock rule files are not beside the repository")
