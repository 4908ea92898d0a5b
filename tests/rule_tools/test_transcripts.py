"""`outrider rules test`: what authors of rules write, what they are told, and how it refuses what is wrong."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider_rules import RulesError, RuleSource
from outrider_sidecar.rehearsal.steps import KINDS
from outrider_sidecar.rehearsal.transcript import read_transcripts

Run = Callable[..., tuple[int, str, str]]

STORY = """\
rules: [rules.yaml]
transcripts:
  - name: a shell below a web server
    steps:
      - ProcessExecuted: {process: 1, exe: /usr/sbin/nginx}
      - ProcessExecuted: {process: 7, parent: 1, exe: /bin/sh, argv: sh -i}
        expect: [Shell Below A Web Server]
      - ConnectionOpened: {owner: 7, destination: 203.0.113.5, destination_port: 4444}
        expect: [Network:Runtime/OddPort]
      - ConnectionOpened: {owner: 7, destination_port: 443}
      - FileChanged: {file: {path: /etc/crontab, changed: 50}, actor: 7}
        expect: [Written Crontab]
  - name: near misses
    steps:
      - ProcessExecuted: {process: 1, exe: /usr/sbin/cron}
      - ProcessExecuted: {process: 7, parent: 1, exe: /bin/sh}
        expect: []
"""


def test_transcripts_that_hold_pass(folder: Path, outrider: Run) -> None:
    """Hits by the name of the rule or the type of the finding, near misses by an empty list or none."""
    (folder / "web.test.yaml").write_text(STORY)
    code, out, _ = outrider("rules", "test", folder / "web.test.yaml")
    assert (code, out) == (0, "2 transcripts, 2 passed, 0 failed\n")


def test_a_failure_says_what_came_what_did_not_and_what_the_rule_saw(folder: Path, outrider: Run) -> None:
    """File, line, transcript and step; the fields that the missing rule decides by; exit code 1."""
    text = STORY.replace("exe: /bin/sh, argv: sh -i}", "exe: /bin/zsh}").replace("443}", "4444}")
    (folder / "t.yaml").write_text(text.replace("owner: 7, destination_port", "owner: 9, destination_port"))
    code, out, _ = outrider("rules", "test", folder / "t.yaml")
    assert code == 1
    assert f"{folder}/t.yaml:6: failed: a shell below a web server, step 2\n" in out
    assert "    expected, but did not come: Shell Below A Web Server\n" in out
    assert "        proc.name = zsh\n" in out
    assert f"Odd Port is at {folder}/rules.yaml:6\n" in out
    assert out.endswith("2 transcripts, 1 passed, 1 failed\n")


def test_what_was_not_expected_is_a_failure(folder: Path, outrider: Run) -> None:
    """A rule that holds where nothing was to be found is told with its output; as JSON for programs."""
    (folder / "t.yaml").write_text(STORY.replace("        expect: [Written Crontab]\n", ""))
    code, out, _ = outrider("rules", "test", "--json", folder / "t.yaml")
    said = json.loads(out)
    assert (code, said["passed"], said["failed"]) == (1, 1, 1)
    (failure,) = said["failures"]
    assert (failure["step"], failure["line"], failure["missing"]) == (5, 11, [])
    assert failure["unexpected"] == ["Written Crontab (Custom:Runtime/WrittenCrontab): /etc/crontab"]


def test_the_same_finding_twice_must_be_expected_twice(folder: Path, outrider: Run) -> None:
    """Each expectation stands for one finding."""
    (folder / "t.yaml").write_text(STORY.replace("[Written Crontab]", "[Written Crontab, Written Crontab]"))
    assert outrider("rules", "test", folder / "t.yaml")[0] == 1


def test_outriders_own_rules_come_on_demand(folder: Path, outrider: Run) -> None:
    """With `builtin` a program that is new in the container is found, and names come from `domains`."""
    (folder / "t.yaml").write_text(
        "builtin: true\ndomains: {pool.example: mining}\ntranscripts:\n  - name: n\n    watched: [/usr/sbin]\n"
        "    steps:\n      - ProcessExecuted: {process: 1, exe: /usr/sbin/nginx}\n"
        "      - ProcessExecuted: {process: 7, parent: 1, exe: {path: /tmp/x, changed: 50}}\n"
        "        expect: [Execution:Runtime/NewBinaryExecuted]\n"
        "      - NameQueried: {name: eu.pool.example, owner: 7}\n"
        "        expect: [Mining Pool Name Queried]\n"
    )
    code, out, _ = outrider("rules", "test", folder / "t.yaml")
    assert code == 0, out


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("ProcessExecuted: {process: 1,", "ProcessExecute: {process: 1,", "5:9", "did you mean `ProcessExecuted`?"),
        ("exe: /usr/sbin/nginx", "exec: /usr/sbin/nginx", "5:39", "did you mean `exe`?"),
        ("process: 1, exe: /usr/sbin/nginx", "process: one, exe: /x", "5:36", "$.process"),
        ("destination_port: 4444", "destination_port: x", "8:82", "$.destination_port"),
        ("changed: 50", "changd: 50", "11:22", "a file has no key `changd`"),
        ("argv: sh -i", 'argv: "sh \'i"', "6:26", "No closing quotation"),
        ("rules: [rules.yaml]", "rule: [rules.yaml]", "1:1", "has no key `rule`"),
        ("  - name: near misses\n", "  - nme: near misses\n", "13:5", "has no key `nme`"),
        ("near misses", "a shell below a web server", "13:5", "was there before"),
        ("[Shell Below A Web Server]", "[Shell Below A Web Servr]", "6", "did you mean `Shell Below A Web Server`?"),
        ("rules.yaml", "rulez.yaml", "", "No such file"),
        ("transcripts:", "transcripts: 3\nx:", "", "must be a list"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(
    folder: Path, outrider: Run, old: str, new: str, place: str, message: str
) -> None:
    """Nothing is run, the exit code is 2, and the place is that of the wrong word."""
    assert old in STORY
    (folder / "t.yaml").write_text(STORY.replace(old, new, 1))
    code, out, err = outrider("rules", "test", folder / "t.yaml")
    assert (code, out) == (2, "")
    assert message in err
    assert f"t.yaml:{place}" in err or not place


def test_a_file_that_is_not_there_is_misuse(folder: Path, outrider: Run) -> None:
    """By name, without a traceback."""
    assert outrider("rules", "test", folder / "none.yaml")[0] == 2


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_text_is_transcripts_or_refused(data: st.DataObject) -> None:
    """Cut anywhere, or with any words in any place: what it says, or RulesError, and never anything else."""
    words = st.sampled_from(
        [*KINDS, "name", "steps", "1", "[]", "{}", "null", "-1", "x: y", "[1, [2]]", "é", "*a", "&a b"]
    )
    at = data.draw(st.integers(0, len(STORY)))
    tail = data.draw(st.integers(at, len(STORY)))
    text = STORY[:at] + data.draw(words | st.text(max_size=5)) + STORY[tail:]
    try:
        read_transcripts(RuleSource("x.yaml", text))
    except RulesError as error:
        assert all(problem.line >= 1 for problem in error.problems)


def test_the_transcript_in_the_guide_passes(folder: Path, outrider: Run) -> None:
    """The guide's example is one that works, with the guide's own rule."""
    guide = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    (folder / "web.yaml").write_text(blocks[0])
    (folder / "web.test.yaml").write_text(next(block for block in blocks if "transcripts:" in block))
    code, out, err = outrider("rules", "test", folder / "web.test.yaml")
    assert code == 0, out + err
