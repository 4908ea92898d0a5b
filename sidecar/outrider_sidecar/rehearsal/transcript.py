"""Transcripts: tests of rules as their authors write them, in YAML beside the rules.

    rules: [web.yaml]                # files beside this one; `builtin: true` puts Outrider's own before them
    domains: {pool.example: mining}  # what the threat lists are to say
    transcripts:
      - name: a shell below a web server
        watched: [/usr/bin]          # directories whose files are known not to have changed since
        steps:
          - ProcessExecuted: {process: 1, exe: /usr/sbin/nginx}
          - ProcessExecuted: {process: 7, parent: 1, exe: /bin/sh, argv: sh -i}
            expect: [Shell Below A Web Server]      # names of rules, or types of findings
          - ProcessExecuted: {process: 8, parent: 1, exe: /bin/true}
            expect: []                              # a near miss; leaving `expect` out says the same

After each step a second passes, what was found is compared, and everything found must have been expected.
"""

from pathlib import Path
from typing import Final

from msgspec import Struct

from outrider_rules import RulesError, RuleSet, RuleSource
from outrider_rules.document import Mapping, Node, Sequence, compose, read_source
from outrider_rules.nodes import Problems, note, read_flag, read_keys, read_scalar, read_scalars, refuse_unknown
from outrider_rules.problems import nearest, shown
from outrider_sidecar.rehearsal.steps import KINDS, Clock, read_event
from outrider_wire.events import Event

MAX_PROBLEMS: Final = 50


class Step(Struct, frozen=True):
    """One event, and names of rules or types of findings that are to come of it."""

    event: Event
    expect: tuple[str, ...]
    line: int


class Transcript(Struct, frozen=True):
    """One story of a fresh container."""

    name: str
    line: int
    steps: tuple[Step, ...]
    watched: tuple[str, ...] = ()


class TranscriptFile(Struct, frozen=True):
    """A whole file. `rules` are paths as written; `builtin` says whether Outrider's own rules are there too."""

    name: str
    rules: tuple[str, ...]
    builtin: bool
    domains: dict[str, str]
    transcripts: tuple[Transcript, ...]


def read_transcripts(given: RuleSource) -> TranscriptFile:
    """The transcripts of one file.

    Raises: RulesError with every problem found.
    """
    problems: Problems = []
    roots = compose(read_source(given))
    if len(roots) != 1 or not isinstance(roots[0], Mapping):
        source = roots[0].source if roots else read_source(given)
        raise RulesError([source.problem(0, "a file of transcripts must be one mapping", "with the key `transcripts`")])
    keys = read_keys(roots[0], "a file of transcripts", problems)
    refuse_unknown(keys, ("rules", "builtin", "domains", "transcripts"), "a file of transcripts", problems)
    rules = read_scalars(keys["rules"][1], "`rules`", problems) if "rules" in keys else []
    builtin = read_flag(keys["builtin"][1], "`builtin`", problems) if "builtin" in keys else False
    domains = _read_domains(keys["domains"][1], problems) if "domains" in keys else {}
    transcripts = _read_all(keys["transcripts"][1], problems) if "transcripts" in keys else []
    if "transcripts" not in keys:
        note(problems, roots[0], "there are no `transcripts`")
    if problems:
        raise RulesError(problems[:MAX_PROBLEMS])
    paths = tuple(scalar.value for scalar in rules or ())
    return TranscriptFile(given.name, paths, bool(builtin), domains, tuple(transcripts))


def check_expectations(file: TranscriptFile, rules: RuleSet) -> list[str]:
    """Expectations that nothing can meet, as messages: no rule has that name and makes findings of that type."""
    names = {rule.name for rule in rules.rules} | {rule.finding for rule in rules.rules}
    found = []
    for transcript in file.transcripts:
        for step in transcript.steps:
            for name in step.expect:
                if name not in names and not name.startswith("Outrider:Integrity/"):
                    hint = nearest(name, names)
                    ending = f"; {hint}" if hint else ""
                    found.append(f"{file.name}:{step.line}: error: no rule is called `{shown(name)}`{ending}")
    return found


def _read_domains(node: Node, problems: Problems) -> dict[str, str]:
    domains = {}
    for name, (_, value) in read_keys(node, "`domains`", problems).items():
        category = read_scalar(value, "a category", problems)
        if category is not None:
            domains[name] = category.value
    return domains


def _read_all(node: Node, problems: Problems) -> list[Transcript]:
    if not isinstance(node, Sequence):
        note(problems, node, "`transcripts` must be a list")
        return []
    found = [_read_one(item, problems) for item in node.items if len(problems) < MAX_PROBLEMS]
    names: set[str] = set()
    for item, transcript in zip(node.items, found, strict=False):
        if transcript is not None and transcript.name in names:
            note(problems, item, f"a transcript `{shown(transcript.name)}` was there before")
        names.add(transcript.name if transcript is not None else "")
    return [transcript for transcript in found if transcript is not None]


def _read_one(node: Node, problems: Problems) -> Transcript | None:
    keys = read_keys(node, "a transcript", problems)
    refuse_unknown(keys, ("name", "watched", "steps"), "a transcript", problems)
    name = read_scalar(keys["name"][1], "`name`", problems) if "name" in keys else None
    if name is None or "steps" not in keys or not isinstance(keys["steps"][1], Sequence):
        note(problems, node, "a transcript must have a `name` and a list of `steps`")
        return None
    watched = read_scalars(keys["watched"][1], "`watched`", problems) if "watched" in keys else []
    clock = Clock()
    steps = [_read_step(item, clock, problems) for item in keys["steps"][1].items]
    return Transcript(
        name=name.value,
        line=_line(node),
        steps=tuple(step for step in steps if step is not None),
        watched=tuple(scalar.value for scalar in watched or ()),
    )


def _read_step(node: Node, clock: Clock, problems: Problems) -> Step | None:
    if len(problems) >= MAX_PROBLEMS:
        return None
    keys = read_keys(node, "a step", problems)
    events = [key for key in keys if key != "expect"]
    if len(events) != 1:
        if isinstance(node, Mapping):
            note(problems, node, "a step must have one event", "one of " + ", ".join(KINDS))
        return None
    expect = read_scalars(keys["expect"][1], "`expect`", problems) if "expect" in keys else []
    event = read_event(*keys[events[0]], clock, problems)
    if event is None:
        return None
    return Step(event, tuple(scalar.value for scalar in expect or ()), _line(node))


def _line(node: Node) -> int:
    return node.source.problem(node.start, "").line


def rule_paths(file: TranscriptFile) -> list[str]:
    """The rule files, as paths from here."""
    return [str(Path(file.name).parent / path) for path in file.rules]
