"""`outrider inject` for what is in ECS: one revision, one service, or every service of clusters."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from outrider_cdk.deploying import definitions, services, summary
from outrider_cdk.deploying.aws import Client, ecs_client
from outrider_cdk.deploying.definitions import Named
from outrider_cdk.deploying.walk import Row, Walk
from outrider_cdk.rewriting import GuardOptions, registrable
from outrider_cli.inject_files import NOT_GUARDED, REFUSED, print_diff, say_problem
from outrider_cli.inject_options import read_options, read_wish
from outrider_cli.writing import write_whole
from outrider_wire.errors import ConfigError
from outrider_wire.text import printable

INTERRUPTED: Final = 130
_DONE: Final = ("guarded", "removed", "registered")


def inject_clusters(arguments: argparse.Namespace) -> int:
    """Walk over clusters, tell of each service as it comes, and sum up."""
    walk = _walk(arguments, by_default=not arguments.all_clusters, update=True)
    ecs = _client(arguments)
    found = services.clusters(ecs, arguments.cluster)
    _check_names(walk, ecs, found)
    told: list[Row] = []

    def say(row: Row, number: int, of: int) -> None:
        told.append(row)
        _say_row(arguments, row, f"[{number}/{of}] ")

    try:
        rows = walk.over(ecs, found, say)
    except KeyboardInterrupt:
        print("outrider: interrupted; this is what was done until then", file=sys.stderr)
        _sum_up(arguments, told)
        raise SystemExit(INTERRUPTED) from None
    if not found:
        print("outrider: there is no cluster in this region", file=sys.stderr)
    return _sum_up(arguments, rows)


def _check_names(walk: Walk, ecs: Client, found: list[services.Cluster]) -> None:
    """Raises ConfigError for a name to take or to leave out that no service has, before anything is done."""
    wanted = walk.wish.only | walk.wish.leave_out
    if not wanted:
        return
    there = {service.name for cluster in found for service in services.services(ecs, cluster.arn)}
    if missing := sorted(wanted - there):
        raise ConfigError(f"no service is called {', '.join(missing)}; nothing was done")


def inject_named(arguments: argparse.Namespace, named: Named) -> int:
    """One revision, which is registered anew, and with `--update` deployed; or one service."""
    if arguments.in_place:
        raise ConfigError("--in-place is for files; a new revision is registered instead")
    arguments.region = named.region or arguments.region
    options = read_options(arguments)
    ecs = _client(arguments)
    if named.kind == "service":
        return _service(arguments, ecs, named)
    return _definition(arguments, ecs, named, options)


def _service(arguments: argparse.Namespace, ecs: Client, named: Named) -> int:
    """A service that was named is updated: that is why it was named. Tags are not asked."""
    cluster = services.clusters(ecs, [named.cluster])[0]
    service = services.described(ecs, named.cluster, [named.name])[0]
    if arguments.diff:
        return _definition(arguments, ecs, Named("definition", service.definition), read_options(arguments))
    walk = _walk(arguments, update=True)
    row = walk.one(ecs, service, None, {}, cluster.name)
    _say_problems(arguments, row)
    return _sum_up(arguments, [walk.awaited(ecs, row)])


def _definition(arguments: argparse.Namespace, ecs: Client, named: Named, options: GuardOptions | None) -> int:
    described = definitions.describe(ecs, named.name)
    rewritten = definitions.rewritten(described, options)
    name = definitions.short(described.arn)
    for problem in rewritten.problems:
        say_problem(arguments, name, problem)
    if not rewritten.refused and (arguments.diff or arguments.output):
        before, after = (_shown(each) for each in (described.document, rewritten.definition))
        if arguments.output:
            write_whole(Path(arguments.output), after.encode())
        if arguments.diff:
            print_diff(before, after, name)
            return NOT_GUARDED if arguments.check and rewritten.edits else 0
    walk = _walk(arguments, update=True)
    made = walk.make(ecs, described)
    rows = [Row("", "", described.arn, made.outcome, made.why, made.arn)]
    if made.outcome == "registered" and walk.dry_run:
        rows = [Row("", "", described.arn, "guarded" if options else "removed", "would be")]
    if arguments.update and made.outcome == "registered":
        running = [walk.one(ecs, each, None, {described.arn: made}) for each in services.running(ecs, described.arn)]
        rows += [walk.awaited(ecs, row) for row in running]
        if not running:
            says = f"no service runs {name}, so that none was updated; name the service to have it run the new revision"
            print(f"outrider: {says}", file=sys.stderr)
    elif made.arn:
        print("outrider: no service was updated; --update does it", file=sys.stderr)
    return _sum_up(arguments, rows)


def _walk(arguments: argparse.Namespace, *, by_default: bool = True, update: bool) -> Walk:
    return Walk(
        wish=read_wish(arguments),
        by_default=by_default,
        dry_run=arguments.dry_run or arguments.check or arguments.diff,
        update=update,
        wait=arguments.wait,
    )


def _client(arguments: argparse.Namespace) -> Client:
    return ecs_client(region=arguments.region, endpoint=arguments.endpoint_url, profile=arguments.profile)


def _shown(document: Mapping[str, Any]) -> str:
    """What would be registered, as JSON to be read."""
    return json.dumps(registrable(document), indent=2, ensure_ascii=False, default=str) + "\n"


def _say_row(arguments: argparse.Namespace, row: Row, number: str) -> None:
    """Progress, on standard error."""
    if not arguments.quiet:
        print(printable(number + summary.line(row)), file=sys.stderr, flush=True)
    _say_problems(arguments, row)


def _say_problems(arguments: argparse.Namespace, row: Row) -> None:
    for problem in row.problems:
        if problem.severity != "note":
            say_problem(arguments, f"{row.cluster}/{row.service}", problem)


def _sum_up(arguments: argparse.Namespace, rows: list[Row]) -> int:
    if arguments.json:
        print(json.dumps(summary.as_json(rows), indent=2))
    else:
        print("\n".join(printable(line) for line in summary.table(rows).split("\n")))
    outcomes = {row.outcome for row in rows}
    if outcomes & {"refused", "failed"}:
        return REFUSED
    return NOT_GUARDED if arguments.check and outcomes & {*_DONE, "unguarded"} else 0
