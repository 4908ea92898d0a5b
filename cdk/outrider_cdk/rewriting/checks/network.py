"""Networks from which the sidecar cannot reach the collector, or in which it sees less."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from outrider_cdk.rewriting.checks.containers import FIELD
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import others_of
from outrider_cdk.rewriting.platforms import platform_of
from outrider_cdk.rewriting.problems import Path, Problem, error, note, warning
from outrider_cdk.rewriting.shapes import as_text, is_absent, is_intrinsic
from outrider_cdk.rewriting.sidecar import collector_of

_LOCAL: Final = ("http://localhost", "http://127.", "http://[::1]")
"""The task itself: nobody else reads along."""


def check_network(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """The task's network mode."""
    mode, path = task.get("networkMode"), ("networkMode",)
    if is_intrinsic(mode):
        says = "The network mode is known at deployment only; with `none` the sidecar cannot reach the collector."
        yield warning(path, "network-unknown", says, "Write it out, to have it looked at.")
    elif mode == "none":
        yield _unreachable(path, "With network mode none the sidecar cannot reach the collector.", options)
    elif platform_of(task, options) == "fargate":
        if mode != "awsvpc":
            says = "Fargate takes no network mode but awsvpc."
            yield warning(path if mode else (), "network-mode", says, "Write awsvpc.")
    elif mode == "bridge" or is_absent(mode):
        says = (
            "In network mode bridge each container has a network of its own: the sidecar sees no packets of the "
            "others, and so no names that they ask for."
        )
        remedy = "Use awsvpc, or guard the machine by one daemon (docs/ec2.md), which taps every network."
        yield warning(path if mode else (), "network-apart", says, remedy)
    elif mode == "host":
        says = "In network mode host the sidecar sees the packets of the whole machine."
        yield warning(path, "network-host", says, "Use awsvpc, or guard the machine by one daemon (docs/ec2.md).")


def check_disabled_network(task: Mapping[str, Any], _options: GuardOptions) -> Iterator[Problem]:
    """Containers without a network are guarded by one that has one, where there is one to be had."""
    for index, container in others_of(task):
        if container.get("disableNetworking") is True:
            says = "The container has its networking disabled; the sidecar keeps its own, to reach the collector."
            path: Path = (FIELD, index, "disableNetworking")
            yield warning(path, "network-disabled", says, "Look whether this task may have a network at all.")


def check_proxy(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """A proxy that takes the task's traffic takes the sidecar's, too."""
    if collector_of(options) and not is_absent(task.get("proxyConfiguration")):
        says = "What leaves the task goes through its proxy, the sidecar's batches included."
        remedy = "Let the proxy pass the collector's address (IgnoredUID 0, EgressIgnoredIPs, or an egress rule)."
        yield warning(("proxyConfiguration",), "proxy", says, remedy)


def check_collector(_task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """There is a collector, it is spoken to over TLS, and it can be reached."""
    url = collector_of(options)
    if not url:
        says = "No collector was named: findings stay in the task's journal, and end with the task."
        remedy = "Name one (collector_url), or send findings elsewhere (setting findings_file or falco_output)."
        if "findings_file" in options.settings or "falco_output" in options.settings:
            return
        yield warning((), "no-collector", says, remedy)
    elif as_text(url).startswith("http://") and not as_text(url).startswith(_LOCAL):
        says = "The collector is spoken to without TLS: every container of the task can read the token as it passes."
        yield warning((), "no-tls", says, "Give its https address (collector_url).")
    elif isinstance(url, str) and not url.startswith(("http://", "https://", "${")):
        yield error((), "bad-collector", f"{url!r} is no address of a collector.", "Write https://HOST:PORT.")
    else:
        says = "Security group and subnet must let the sidecar reach the collector; that is not to be seen here."
        yield note((), "reachability", says, "Look at `outrider agents` with the collector once the task runs.")


def _unreachable(path: Path, says: str, options: GuardOptions) -> Problem:
    if collector_of(options):
        return error(path, "no-network", says, "Give the task a network, or name no collector.")
    return warning(path, "no-network", says, "Send findings to the log (setting findings_file: -).")
