"""`outrider inject` for files and standard input: nothing is written but the whole outcome, or nothing."""

import argparse
import difflib
import json
import sys
from pathlib import Path
from typing import Any, Final

from outrider_cdk.editing import Document, Uneditable, Unreadable, edited, read_document
from outrider_cdk.editing.document import MAX_BYTES
from outrider_cdk.rewriting import Problem, show, show_path
from outrider_cdk.templates import Plan, Wish, plan_document
from outrider_cli.inject_options import read_wish
from outrider_cli.writing import write_standard_output, write_whole
from outrider_wire.errors import ConfigError
from outrider_wire.text import printable

REFUSED: Final = 2
NOT_GUARDED: Final = 1
_PROGRAMS: Final = {
    ".tf": "Terraform's configuration",
    ".hcl": "Terraform's configuration",
    ".py": "a program",
    ".ts": "a program",
    ".js": "a program",
}


def inject_file(arguments: argparse.Namespace, source: str) -> int:
    """Rewrite one document; the exit code. Raises ConfigError where it cannot be read or written."""
    if (suffix := Path(source).suffix.lower()) in _PROGRAMS:
        raise ConfigError(f"{source}: is {_PROGRAMS[suffix]}; docs/deploy.md says what to add there")
    data, name = _read(source)
    wish = read_wish(arguments)
    try:
        document = read_document(data, name)
        plan = plan_document(document.value, wish)
        changed = edited(document, plan.edits)
    except Unreadable as error:
        raise ConfigError(_sentence(name, error.line, error.says, error.remedy)) from error
    except Uneditable as error:
        line = 0 if error.line else document.line_of(error.path)
        raise ConfigError(_sentence(name, line, f"{show_path(error.path)} {error.says}", error.remedy)) from error
    _say(arguments, name, document, plan)
    if wish.options is not None and plan.edits and not _is_undone_exactly(document, changed):
        print(f"{name}: warning: --remove will give the same meaning back, but not every byte", file=sys.stderr)
    if arguments.json:
        print(json.dumps(report(name, document, plan, changed), indent=2))
    if plan.refused:
        return REFUSED
    if not arguments.check:
        _put_out(arguments, source, data, document, changed)
    return NOT_GUARDED if arguments.check and plan.edits else 0


def _is_undone_exactly(document: Document, changed: Document) -> bool:
    """Whether taking the sidecar out gives every byte back; of one that is guarded before, there is none to ask for."""
    remove = Wish(options=None)
    if plan_document(document.value, remove).edits:
        return True
    try:
        return edited(changed, plan_document(changed.value, remove).edits).text == document.text
    except Uneditable:
        return False


def report(name: str, document: Document, plan: Plan, changed: Document) -> dict[str, Any]:
    """What was found and done, for programs."""
    return {
        "source": name,
        "kind": plan.kind,
        "refused": plan.refused,
        "changed": bool(plan.edits),
        "definitions": [
            {"path": show_path(each.path), "name": each.name, "outcome": each.outcome, "why": each.why}
            for each in plan.targets
        ],
        "problems": [problem_json(each, document.line_of(each.path)) for each in plan.problems],
        "text": changed.text if plan.edits else document.text,
    }


def problem_json(problem: Problem, line: int = 0) -> dict[str, Any]:
    """One problem for programs; `line` is 0 where there is no text."""
    found: dict[str, Any] = {
        "path": show_path(problem.path),
        "code": problem.code,
        "severity": problem.severity,
        "says": problem.says,
        "remedy": problem.remedy,
    }
    return {**found, "line": line} if line else found


def say_problem(arguments: argparse.Namespace, where: str, problem: Problem) -> None:
    """One problem on standard error."""
    if problem.severity == "error" or not arguments.quiet:
        print(printable(f"{where}: {show(problem)}"), file=sys.stderr)


def print_diff(before: str, after: str, name: str) -> None:
    """A unified diff, with the line ends of the text as they are."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), name, f"{name} (after)"
    )
    for line in lines:
        sys.stdout.write(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n")


def _read(source: str) -> tuple[bytes, str]:
    if source == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1), "standard input"
    try:
        with Path(source).open("rb") as file:
            return file.read(MAX_BYTES + 1), source
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}") from error


def _say(arguments: argparse.Namespace, name: str, document: Document, plan: Plan) -> None:
    """Every problem with its line, and of each definition what became of it."""
    for problem in plan.problems:
        say_problem(arguments, f"{name}:{document.line_of(problem.path)}", problem)
    if arguments.quiet:
        return
    would = "would be " if arguments.dry_run or arguments.check or arguments.diff else ""
    for target in plan.targets:
        outcome = would + target.outcome if target.outcome in ("guarded", "removed") else target.outcome
        why = f" ({target.why})" if target.why else ""
        line = document.line_of(target.path)
        print(printable(f"{name}:{line}: {plan.kind}: {target.name}: {outcome}{why}"), file=sys.stderr)


def _put_out(arguments: argparse.Namespace, source: str, data: bytes, document: Document, changed: Document) -> None:
    if arguments.diff:
        if not arguments.json:
            print_diff(document.text, changed.text, source)
        return
    if arguments.dry_run:
        return
    made = changed.to_bytes()
    if arguments.in_place:
        if made != data:
            write_whole(Path(source), made, instead_of=data)
    elif arguments.output:
        write_whole(Path(arguments.output), made)
    elif not arguments.json:
        write_standard_output(made)


def _sentence(name: str, line: int, says: str, remedy: str) -> str:
    where = f"{name}:{line}" if line else name
    return printable(f"{where}: {says}" + (f"; {remedy}" if remedy else ""))
