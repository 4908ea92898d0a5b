"""`outrider inject`: put the sidecar into task definitions, in files and in ECS, or take it out again."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from outrider_cdk.deploying.definitions import read_name
from outrider_cli import inject_aws, inject_files
from outrider_cli.inject_options import add_option_arguments
from outrider_wire.errors import ConfigError

STDIN: Final = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit codes: 0 ok; 1 with --check, where something is not guarded; 2 refused; 77 not possible here."
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="a file, - for standard input (default), the ARN or family:revision of a task definition, or the ARN of a "
        "service. Files hold a task definition, a CloudFormation template, a Copilot manifest or a Compose file, "
        "in JSON or YAML",
    )
    parser.add_argument("--remove", action="store_true", help="take the sidecar out again, exactly")
    parser.add_argument("--diff", action="store_true", help="print what would change, and change nothing")
    parser.add_argument("--dry-run", action="store_true", help="say what would become of it, and change nothing")
    parser.add_argument("--check", action="store_true", help="as --dry-run; exit with 1 where something is not guarded")
    parser.add_argument("--json", action="store_true", help="say it as JSON, on standard output")
    parser.add_argument("--quiet", action="store_true", help="of what is to be said, only errors")
    files = parser.add_argument_group("files")
    where = files.add_mutually_exclusive_group()
    where.add_argument("--output", metavar="FILE", help="write the outcome there instead of to standard output")
    where.add_argument("--in-place", action="store_true", help="write it into the file itself")
    files.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="of several definitions or services, only this one"
    )
    files.add_argument("--leave-out", action="append", default=[], metavar="NAME", help="all but this one")
    _add_aws_arguments(parser)
    add_option_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    if arguments.cluster or arguments.all_clusters:
        return inject_aws.inject_clusters(arguments)
    source = arguments.source
    if source is None:
        if sys.stdin.isatty():
            raise ConfigError("what is to be guarded? give a file, an ARN, --cluster NAME, or - for standard input")
        source = STDIN
    named = read_name(source)
    if named is not None and not (named.kind == "definition" and Path(source).exists()):
        if arguments.only or arguments.leave_out:
            raise ConfigError("--only and --leave-out choose among several; one was named")
        return inject_aws.inject_named(arguments, named)
    if source.startswith("arn:"):
        raise ConfigError(f"{source}: is the ARN of neither a task definition nor a service; clusters: --cluster NAME")
    if arguments.update or arguments.wait:
        raise ConfigError("--update and --wait are for task definitions in ECS, not for files")
    return inject_files.inject_file(arguments, source)


def _check(arguments: argparse.Namespace) -> None:
    """Raises ConfigError for options that contradict one another."""
    over_clusters = bool(arguments.cluster or arguments.all_clusters)
    changing = not (arguments.dry_run or arguments.check or arguments.diff)
    if over_clusters and arguments.source is not None:
        raise ConfigError("give a source or --cluster, not both")
    if over_clusters and (arguments.output or arguments.in_place):
        raise ConfigError("--output and --in-place are for one definition; --json has what became of each")
    if over_clusters and arguments.diff:
        raise ConfigError("--diff is for one definition; --dry-run says what would become of a cluster")
    if over_clusters and changing and not arguments.update:
        raise ConfigError("a whole cluster: --dry-run says what would become of it, --update does it")
    if arguments.wait and not (arguments.update or "service/" in (arguments.source or "")):
        raise ConfigError("--wait waits for services: give --update as well")
    if arguments.in_place and arguments.source in (None, STDIN):
        raise ConfigError("--in-place needs a file")


def _add_aws_arguments(parser: argparse.ArgumentParser) -> None:
    aws = parser.add_argument_group("ECS")
    aws.add_argument(
        "--cluster", action="append", default=[], metavar="NAME", help="every service of the cluster, but for tags"
    )
    aws.add_argument(
        "--all-clusters",
        action="store_true",
        help="what is tagged OutriderManaged=true (cluster, service, definition) in all clusters of the region",
    )
    aws.add_argument("--update", action="store_true", help="let the services that run it run the new revision")
    aws.add_argument("--wait", action="store_true", help="wait until the updated services are steady")
    aws.add_argument("--region", default=os.environ.get("AWS_REGION", ""), help="(AWS_REGION)")
    aws.add_argument("--profile", default="", help="(AWS_PROFILE)")
    aws.add_argument("--endpoint-url", default="", metavar="URL", help=argparse.SUPPRESS)
