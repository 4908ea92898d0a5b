"""The options of `outrider inject` that say how to guard, as the rewriter's options."""

import argparse
import os
from collections.abc import Iterable
from typing import get_args

from outrider_cdk.rewriting import AwsLogs, FireLens, GuardOptions
from outrider_cdk.rewriting.checks import ACCEPTABLE
from outrider_cdk.rewriting.options import Enrolment, Logging, Platform
from outrider_cdk.templates import Wish
from outrider_wire.errors import ConfigError


def add_option_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sidecar; the rewriter judges their values."""
    group = parser.add_argument_group("the sidecar")
    add = group.add_argument
    add("--image", default=os.environ.get("OUTRIDER_IMAGE", ""), help="its image, for x86-64 (OUTRIDER_IMAGE)")
    add("--image-arm64", default=os.environ.get("OUTRIDER_IMAGE_ARM64", ""), metavar="IMAGE", help="the same for ARM64")
    add(
        "--collector",
        default=os.environ.get("OUTRIDER_COLLECTOR_URL", ""),
        metavar="URL",
        help="where findings go (OUTRIDER_COLLECTOR_URL)",
    )
    add("--token-secret", default="", metavar="ARN", help="secret or parameter with the bootstrap token")
    add("--enrol", choices=get_args(Enrolment), default="auto", help="what it shows the collector")
    add("--platform", choices=get_args(Platform), default="auto", help="where the task runs; auto reads it off it")
    add("--memory", type=int, default=GuardOptions.memory_mib, metavar="MIB", help="limit (default %(default)s)")
    add(
        "--memory-reservation",
        type=int,
        default=GuardOptions.memory_reservation_mib,
        metavar="MIB",
        help="(default %(default)s)",
    )
    add("--cpu", type=int, metavar="UNITS", help="its share, in 1024ths of a vCPU")
    add("--essential", action="store_true", help="end the task when the sidecar ends")
    add("--depends-on", action="store_true", help="start the other containers after it")
    add("--log-group", default="", metavar="GROUP", help="CloudWatch group for its log (default: as the app's)")
    add("--log-region", default="", metavar="REGION", help="the region of that group (default: --region)")
    add("--log-prefix", default=AwsLogs.prefix, metavar="PREFIX", help="what its log streams begin with")
    add("--create-log-group", action="store_true", help="let ECS make that group")
    add(
        "--firelens",
        action="append",
        metavar="NAME=VALUE",
        nargs="?",
        const="",
        help="log by the task's log router, perhaps with an option of the output",
    )
    add("--setting", action="append", default=[], metavar="NAME=VALUE", help="a setting of docs/settings.md")
    add("--secret", action="append", default=[], metavar="NAME=ARN", help="a setting whose value is a secret")
    add("--execution-role", default="", metavar="ARN", help="for definitions that have none")
    add("--stop-timeout", type=int, default=GuardOptions.stop_timeout_s, metavar="S", help="(default %(default)s)")
    add("--container-name", default=GuardOptions.container_name, metavar="NAME", help="(default %(default)s)")
    add("--accept", action="append", default=[], metavar="CODE", help="make an error of this code a warning")


def read_options(arguments: argparse.Namespace) -> GuardOptions | None:
    """The rewriter's options, None to take the sidecar out. Raises ConfigError for pairs that are none."""
    if arguments.remove:
        return None
    if not (arguments.image or arguments.image_arm64):
        raise ConfigError("which image? give --image IMAGE or set OUTRIDER_IMAGE")
    if unknown := sorted(set(arguments.accept) - ACCEPTABLE):
        raise ConfigError(f"--accept {unknown[0]}: can be given for {', '.join(sorted(ACCEPTABLE))}")
    return GuardOptions(
        image=arguments.image,
        image_arm64=arguments.image_arm64,
        collector_url=arguments.collector,
        token_secret=arguments.token_secret,
        enrol=arguments.enrol,
        platform=arguments.platform,
        memory_mib=arguments.memory,
        memory_reservation_mib=arguments.memory_reservation,
        cpu=arguments.cpu,
        essential=arguments.essential,
        depends_on=arguments.depends_on,
        log=_log(arguments),
        settings=_pairs("--setting", arguments.setting),
        secrets=_pairs("--secret", arguments.secret),
        execution_role_arn=arguments.execution_role,
        stop_timeout_s=arguments.stop_timeout,
        container_name=arguments.container_name,
        accept=frozenset(arguments.accept),
    )


def read_wish(arguments: argparse.Namespace) -> Wish:
    """What is wanted of which: the options, and the names to take and to leave out."""
    return Wish(
        options=read_options(arguments), only=frozenset(arguments.only), leave_out=frozenset(arguments.leave_out)
    )


def _log(arguments: argparse.Namespace) -> Logging:
    if arguments.firelens is not None:
        if arguments.log_group:
            raise ConfigError("--log-group and --firelens: the log goes to one of them")
        return FireLens(options=_pairs("--firelens", filter(None, arguments.firelens)))
    if not arguments.log_group:
        if arguments.create_log_group or arguments.log_region:
            raise ConfigError("--create-log-group and --log-region are for --log-group")
        return "same"
    region = arguments.log_region or arguments.region
    if not region:
        raise ConfigError("--log-group needs --log-region")
    return AwsLogs(
        group=arguments.log_group, region=region, prefix=arguments.log_prefix, create_group=arguments.create_log_group
    )


def _pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip() if option == "--firelens" else name.strip().lower().removeprefix("outrider_")
        if not equals or not name:
            raise ConfigError(f"{option} {text!r}: write NAME=VALUE")
        if name in found:
            raise ConfigError(f"{option} {name}: is given twice")
        found[name] = value
    return found
