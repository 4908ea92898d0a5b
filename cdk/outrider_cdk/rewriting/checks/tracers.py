"""Other agents in the task: those that trace by ptrace, and those that guard by other means.

A process has one tracer. Where another agent traces the same programs, the second of the two fails, and with some of
them the program does not start. Datadog's is known to trace by the source of its CDK constructs; the others marked so
are named for what is generally known of them, and have not been tried. Those not known to trace are warned of only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from outrider_cdk.rewriting.checks.containers import FIELD
from outrider_cdk.rewriting.checks.images import repository_of
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import others_of
from outrider_cdk.rewriting.problems import Path, Problem, error, warning
from outrider_cdk.rewriting.settings import OFF
from outrider_cdk.rewriting.shapes import as_list, as_text, words_of


@dataclass(frozen=True, kw_only=True)
class Agent:
    """How another agent is known. Globs: `images` of the repository, `words` of any word of entryPoint and command."""

    name: str
    traces: bool = False
    images: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    """Names of variables, each with the value that says it is in use; `*` is any."""


AGENTS: Final = (
    Agent(
        name="Datadog Workload Protection",
        traces=True,
        images=("*datadog/cws-instrumentation*",),
        words=("*cws-instrumentation*",),
        variables=(("DD_RUNTIME_SECURITY_CONFIG_ENABLED", "true"),),
    ),
    Agent(
        name="Sysdig's workload agent",
        traces=True,
        images=("*sysdig/workload-agent*",),
        words=("*/draios/bin/instrument*",),
        variables=(("SYSDIG_ORCHESTRATOR", "*"),),
    ),
    Agent(name="Falco's userspace agent (pdig)", traces=True, words=("pdig", "*/pdig")),
    Agent(
        name="a tracer or debugger",
        traces=True,
        words=("strace", "*/strace", "ltrace", "*/ltrace", "gdb", "*/gdb", "gdbserver", "*/gdbserver", "dlv", "*/dlv"),
    ),
    Agent(name="Prisma Cloud's defender", images=("*twistlock/*", "*prismacloud/*"), words=("*fargate_defender*",)),
    Agent(name="Aqua's MicroEnforcer", images=("*aquasec/*enforcer*",), words=("*microenforcer*",)),
    Agent(
        name="CrowdStrike's Falcon sensor", images=("*falcon-container*", "*falcon-sensor*"), words=("*/CrowdStrike/*",)
    ),
    Agent(name="Lacework's agent", images=("*lacework/datacollector*",), words=("*lacework*",)),
    Agent(name="Wiz's sensor", images=("*wizio*/sensor*",), words=("*/wiz-sensor*",)),
    Agent(name="Trend Micro's sensor", images=("*trendmicro/*",)),
    Agent(name="GuardDuty's agent", images=("*aws-guardduty-agent*",)),
    Agent(name="Falco", images=("*falcosecurity/*",)),
    Agent(name="Deepfence's sensor", images=("*deepfence*/*agent*",)),
)
"""The first that fits is told of."""


def check_tracers(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """Refuse a second tracer, unless the sidecar is told not to trace; warn of every other agent."""
    off = as_text(options.settings.get("attach")).lower() in OFF
    for index, container in others_of(task):
        for agent in AGENTS:
            field = _evidence(agent, container)
            if field:
                yield _told(agent, (FIELD, index, *field), off=off)
                break


def _told(agent: Agent, path: Path, *, off: bool) -> Problem:
    if not agent.traces:
        says = f"{agent.name} guards this task, too. The two see each other's work, and tell of it where it looks odd."
        return warning(path, "other-agent", says, "Keep one of them; try both before production does.")
    says = f"{agent.name} traces by ptrace, and a process has one tracer: the second fails, with some the program, too."
    remedy = "Take it out, or let the sidecar trace nothing (setting attach: off), which then sees by polling."
    return (warning if off else error)(path, "second-tracer", says, remedy)


def _evidence(agent: Agent, container: Mapping[str, Any]) -> Path:
    """The field that gives the agent away; empty where none does."""
    if _fits(repository_of(container), agent.images):
        return ("image",)
    if any(_fits(word, agent.words) for word in words_of(container)):
        return ("entryPoint",) if as_list(container.get("entryPoint")) else ("command",)
    for index, entry in enumerate(as_list(container.get("environment"))):
        if isinstance(entry, dict) and _is_in_use(agent, entry):
            return ("environment", index)
    return ()


def _is_in_use(agent: Agent, entry: Mapping[str, Any]) -> bool:
    name, value = as_text(entry.get("name")), as_text(entry.get("value")).lower()
    return any(name == known and fnmatchcase(value, wanted) for known, wanted in agent.variables)


def _fits(text: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(text, glob) for glob in globs)
