"""The rules that are in force: the built-in pack, then the user's files in their order."""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from outrider_rules import RulesError, RuleSet, RuleSource, load_rules
from outrider_sidecar.fields.catalogue import CATALOGUE
from outrider_wire.errors import ConfigError

PACK = "outrider.yaml"


def builtin_source() -> RuleSource:
    """Outrider's own pack."""
    return RuleSource(PACK, resources.files("outrider_rules").joinpath("packs", PACK).read_text())


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
        return load_rules([builtin_source(), *user_sources(paths)], CATALOGUE)
    except RulesError as error:
        raise ConfigError(f"the rules were not loaded:\n{error}") from error
