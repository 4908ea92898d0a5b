"""Where Falco's three stock files are, if they are here."""

import os
from pathlib import Path

import pytest

from outrider_lab.attacks.falco.stage import STOCK_FILES

SHARED = Path(__file__).parents[3] / "shared" / "corpora" / "falco-rules"


@pytest.fixture(scope="session")
def rules() -> Path:
    """The folder of the stock files: named by OUTRIDER_TEST_FALCO_RULES, else beside the checkout."""
    folder = Path(os.environ.get("OUTRIDER_TEST_FALCO_RULES", SHARED))
    if not all((folder / name).is_file() for name in STOCK_FILES):
        pytest.skip(f"shared data: no stock rules in {folder}")
    return folder
