"""`outrider rules test FILE…`: run the transcripts that stand beside rules, and say which steps went otherwise."""

import argparse
import json
import sys
from pathlib import Path

import msgspec

from outrider_rules import RulesError, RuleSet, RuleSource, load_rules
from outrider_sidecar.fields.catalogue import CATALOGUE
from outrider_sidecar.rehearsal.play import Failure, play
from outrider_sidecar.rehearsal.transcript import (
    Transcript,
    TranscriptFile,
    check_expectations,
    read_transcripts,
    rule_paths,
)
from outrider_sidecar.rulebook import builtin_sources, user_sources
from outrider_wire.errors import ConfigError
from outrider_wire.text import printable


def run_tests(arguments: argparse.Namespace) -> int:
    """Exit code: 0 when all went as expected, 1 when not. Raises ConfigError for files that cannot be used."""
    passed = 0
    failed: list[dict[str, object]] = []
    for name in arguments.files:
        file = _read(name)
        rules = load_only(rule_paths(file), builtin=file.builtin)
        wrong = check_expectations(file, rules)
        if wrong:
            raise ConfigError("the transcripts were not run:\n" + "\n".join(wrong))
        for transcript in file.transcripts:
            failures = play(transcript, rules, file.domains)
            passed += not failures
            failed += [_row(file, transcript, failure) for failure in failures]
            if not arguments.json:
                _print(file, transcript, failures)
    broken = len({(row["file"], row["transcript"]) for row in failed})
    if arguments.json:
        print(json.dumps({"passed": passed, "failed": broken, "failures": failed}, indent=2))
    else:
        print(f"{passed + broken} transcripts, {passed} passed, {broken} failed")
    return 1 if failed else 0


def load_only(paths: list[str], *, builtin: bool) -> RuleSet:
    """The rules of some files, Outrider's own before them where they are wanted. Raises ConfigError."""
    sources = builtin_sources() if builtin else []
    try:
        return load_rules([*sources, *user_sources(paths)], CATALOGUE)
    except RulesError as error:
        raise ConfigError(f"the rules were not loaded:\n{error}") from error


def _read(name: str) -> TranscriptFile:
    try:
        return read_transcripts(RuleSource(name, Path(name).read_bytes()))
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}") from error
    except RulesError as error:
        raise ConfigError(f"the transcripts were not run:\n{error}") from error


def _row(file: TranscriptFile, transcript: Transcript, failure: Failure) -> dict[str, object]:
    facts: dict[str, object] = msgspec.to_builtins(failure)
    return {"file": file.name, "transcript": transcript.name, **facts}


def _print(file: TranscriptFile, transcript: Transcript, failures: list[Failure]) -> None:
    for failure in failures:
        print(f"{file.name}:{failure.line}: failed: {printable(transcript.name)}, step {failure.step}")
        for name in failure.missing:
            print(f"    expected, but did not come: {printable(name)}")
        for text in failure.unexpected:
            print(f"    came, but was not expected: {printable(text)}")
        for text in failure.values:
            print(f"      {printable(text)}")
    sys.stdout.flush()
