"""The rules that are in force: the built-in pack, then the user's files in their order; and how each of them stands."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import outrider_rules
from outrider_rules import Arming, RulesError, RuleSet, RuleSource, arm, count_states, load_rules
from outrider_sidecar.fields.catalogue import CATALOGUE
from outrider_sidecar.fields.supply import Mode, sight_here
from outrider_sidecar.log import say
from outrider_sidecar.sensors import Capability
from outrider_wire.errors import ConfigError

PACKS = ("outrider.yaml", "outrider_lists.yaml")
MAX_REASON = 2_000
"""Longest text that a batch carries about the rules, in characters."""


def builtin_sources() -> list[RuleSource]:
    """Outrider's own packs, in their order."""
    folder = Path(outrider_rules.__file__).with_name("packs")
    return [RuleSource(name, folder.joinpath(name).read_text()) for name in PACKS]


def user_sources(paths: Iterable[str]) -> list[RuleSource]:
    """The user's files; a directory stands for its *.yaml and *.yml in order of name. Raises ConfigError."""
    sources = []
    for name in paths:
        path = Path(name)
        try:
            files = sorted(p for p in path.iterdir() if p.suffix in (".yaml", ".yml")) if path.is_dir() else [path]
            sources += [RuleSource(str(file), file.read_bytes()) for file in files]
        except OSError as error:
            raise ConfigError(f"rules {name}: {error.strerror}") from error
    return sources


def load_rulebook(paths: Iterable[str] = ()) -> RuleSet:
    """Everything in force, compiled. Raises ConfigError holding every problem, place by place."""
    try:
        return load_rules([*builtin_sources(), *user_sources(paths)], CATALOGUE)
    except RulesError as error:
        raise ConfigError(f"the rules were not loaded:\n{error}") from error


def arm_rulebook(
    rules: RuleSet, capabilities: Sequence[Capability], *, mode: Mode, host_too: bool = False
) -> Capability:
    """Say in the log how the rules stand here, and give it as a capability: a batch tells the collector of it."""
    armings = arm(rules, sight_here(capabilities, mode=mode, host_too=host_too))
    counts = count_states(armings)
    for arming in armings:
        if arming.enabled and arming.state == "blind":
            say(f"rule {arming.rule} is blind here", rule=arming.rule, reasons=arming.reasons)
    say("rules are armed", **counts)
    return rules_capability(armings)


def count_text(armings: Sequence[Arming]) -> str:
    """`9 armed, 0 armed by substitution, 0 blind here, 0 off`."""
    counts = count_states(armings)
    return (
        f"{counts['armed']} armed, {counts['substituted']} armed by substitution, "
        f"{counts['blind']} blind here, {counts['off']} off"
    )


def rules_capability(armings: Sequence[Arming]) -> Capability:
    """How many rules are armed, armed by substitution, blind here and off, and the names of the blind ones."""
    counts, text = count_states(armings), count_text(armings)
    blind = [arming.rule for arming in armings if arming.enabled and arming.state == "blind"]
    if blind:
        text += f"; blind: {', '.join(blind)}"
    return Capability("rules", "rules", bool(counts["armed"] or counts["substituted"]), text[:MAX_REASON])
