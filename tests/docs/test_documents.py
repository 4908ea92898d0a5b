"""What the documents point to is there, and they hold nothing that belongs to one machine."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from outrider_cli.main import COMMANDS
from outrider_collector.integrity import Kind

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NEEDED = ("README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/dependencies.md")

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
PATH = re.compile(r"`((?:wire|rules|sidecar|collectors|lab|cli|tests|bench|scripts|docs)/[\w./-]+)`")
COMMAND = re.compile(r"(?<![\w/.-])outrider ([a-z]+)(?=[ `\n])")


def anchors(text: str) -> set[str]:
    """The names GitHub gives to headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NEEDED)
def test_a_document_that_is_promised_is_there(name: str) -> None:
    """Each says something."""
    assert len((ROOT / name).read_text()) > 500


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """A relative link names a file that is there, and a heading that it has."""
    for target, anchor in LINK.findall(document.read_text()):
        file = document.parent / target if target else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text()), f"{target}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_named_is_there(document: Path) -> None:
    """A file or folder of ours that a document names exists, but for what `make bench` writes."""
    named = set(PATH.findall(document.read_text())) - {"bench/RESULTS.md"}
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_named_is_one(document: Path) -> None:
    """`outrider WORD` in code is a subcommand."""
    known = {name for name, _, _ in COMMANDS}
    code = " ".join(re.findall(r"`[^`]+`", document.read_text()))
    assert set(COMMAND.findall(code)) <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_names_a_machine(document: Path) -> None:
    """No path of somebody's checkout, no host of a package registry."""
    text = document.read_text()
    assert str(ROOT) not in text
    assert not re.search(r"/home/\w|/Users/\w|pypi\.org|pythonhosted|docker\.io|ghcr\.io|quay\.io|amazonaws\.com", text)


def test_every_integrity_finding_is_told_of() -> None:
    """The guide to operation explains each finding about the guard itself."""
    made = set(get_args(Kind))
    for file in ROOT.glob("*/outrider_*/**/*.py"):
        made |= set(re.findall(r'"Outrider:Integrity/(\w+)"', file.read_text()))
    guide = (ROOT / "docs" / "operations.md").read_text()
    assert not [kind for kind in made if f"`{kind}`" not in guide]


def test_every_dependency_has_its_reason() -> None:
    """Each name in pyproject.toml has a line in docs/dependencies.md."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = [*project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        listed += extra
    names = {re.split(r"[\[<>=;! ]", line)[0] for line in listed} - {"outrider"}
    names |= {re.split(r"[<>=]", line)[0] for line in project["build-system"]["requires"]}
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    assert not [name for name in sorted(names) if f"`{name}`" not in reasons]


def test_the_commands_print_what_the_readme_says() -> None:
    """The help names every subcommand of the README's table."""
    shown = subprocess.run(
        [sys.executable, "-m", "outrider_cli.main", "--help"], capture_output=True, text=True, check=True
    ).stdout
    table = re.findall(r"^\| `outrider (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert table
    assert not [name for name in table if name not in shown]
