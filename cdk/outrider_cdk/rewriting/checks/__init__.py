"""What may forbid guarding a definition, or make it worth less than one may think: one readable table."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from outrider_cdk.rewriting.branches import Variant, variants_of
from outrider_cdk.rewriting.checks import (
    containers,
    earlier,
    elsewhere,
    fargate,
    first_process,
    kinds,
    logging,
    network,
    pid_mode,
    privileges,
    roles,
    signals,
    size,
    system,
    tracers,
    unknown,
    wanted,
)
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.problems import Problem

Check = Callable[[Mapping[str, Any], GuardOptions], Iterator[Problem]]
"""A definition and what is wanted, to what is to be said. Paths are from the definition's root."""

CHECKS: Final[tuple[Check, ...]] = (
    wanted.check_options,
    wanted.check_settings,
    containers.check_written,
    containers.check_containers,
    containers.check_names,
    kinds.check_kinds,
    earlier.check_earlier,
    system.check_system,
    system.check_platform,
    unknown.check_unknown,
    pid_mode.check_pid_mode,
    first_process.check_first_process,
    signals.check_signals,
    tracers.check_tracers,
    privileges.check_privileges,
    privileges.check_journal,
    fargate.check_fargate,
    size.check_memory,
    size.check_cpu,
    size.check_pair,
    network.check_network,
    network.check_disabled_network,
    network.check_proxy,
    network.check_collector,
    roles.check_execution_role,
    roles.check_enrolment,
    logging.check_log,
    elsewhere.check_exec,
)

AS_WRITTEN: Final[tuple[Check, ...]] = (containers.check_written, logging.check_log)
"""Those that judge what is put into the document; the others read what becomes of it, for each of its conditions."""

ACCEPTABLE: Final = frozenset(
    (
        *("pid-1", "signals-everybody", "second-tracer", "reads-key", "journal-shared"),
        *("too-small", "no-network", "no-execution-role", "no-task-role"),
    )
)
"""Codes of errors that one may know better about; the others leave nothing to be guarded, or nothing to be undone."""


def check(task: Mapping[str, Any], options: GuardOptions) -> list[Problem]:
    """Everything that is to be said, in the order of the table; errors that were accepted are warnings."""
    variants = variants_of(task)
    said = dict.fromkeys(problem for one in CHECKS for problem in _said_by(one, task, variants, options))
    accepted = options.accept & ACCEPTABLE
    return [
        replace(problem, severity="warning") if problem.severity == "error" and problem.code in accepted else problem
        for problem in said
    ]


def _said_by(one: Check, task: Mapping[str, Any], variants: list[Variant], options: GuardOptions) -> Iterator[Problem]:
    if one in AS_WRITTEN:
        yield from one(task, options)
        return
    for variant in variants:
        for problem in one(variant.task, options):
            yield replace(problem, path=variant.place_of(problem.path))
