"""The pages made from the code are what the code would make, and leave nothing out."""

from pathlib import Path

import msgspec
import pytest

from outrider_cli.reference import PAGES
from outrider_cli.reference.markdown import cell, table
from outrider_cli.reference.settings import notes_beside, notes_within
from outrider_collector.settings import Settings as CollectorSettings
from outrider_rules import Rule
from outrider_sidecar.fields.catalogue import CATALOGUE
from outrider_sidecar.rulebook import load_rulebook
from outrider_sidecar.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_up_to_date(name: str) -> None:
    """`make docs` would change nothing."""
    assert (DOCS / name).read_text() == PAGES[name](), "run `make docs` and commit the result"


@pytest.mark.parametrize("rule", load_rulebook().rules, ids=lambda rule: rule.name)
def test_every_rule_has_a_section(rule: Rule) -> None:
    """A rule that is in force is in the page of detections."""
    assert f"### {rule.name}\n" in PAGES["detections.md"]()


def test_every_field_has_a_row() -> None:
    """A field that a rule may use is in the page of fields."""
    page = PAGES["fields.md"]()
    assert not [field.shown for field in CATALOGUE if f"| `{field.shown}` |" not in page]


def test_every_setting_is_explained() -> None:
    """No setting is without a sentence."""
    assert set(notes_beside(Settings)) == {field.name for field in msgspec.structs.fields(Settings)}
    assert set(notes_within(CollectorSettings)) == {field.name for field in msgspec.structs.fields(CollectorSettings)}


def test_a_cell_cannot_break_its_table() -> None:
    """Bars are escaped and line breaks taken out."""
    assert cell("a | b\n  c") == "a \\| b c"
    assert table(("x",), [("a|b",)]).splitlines()[-1] == "| a\\|b |"
