"""The sidecar's settings: one frozen record, from a TOML file and the environment, each value with its source.

The environment wins over the file. Unknown keys are refused with the nearest known name: a misspelt switch that
is silently ignored would leave somebody unguarded.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_origin

import msgspec
from msgspec import Struct

from outrider_wire.aws_proof import is_collector_name
from outrider_wire.errors import ConfigError

PREFIX = "OUTRIDER_"
CONFIG_VARIABLE = "OUTRIDER_CONFIG"
METADATA_VARIABLE = "ECS_CONTAINER_METADATA_URI_V4"
MAX_BUDGET_MS = 5_000
"""Longest that a program may be made to wait for a decision."""
_ON = ("1", "true", "on", "yes")
_OFF = ("0", "false", "off", "no")
FOREIGN_PREFIXES = ("OUTRIDER_COLLECTOR_", "OUTRIDER_LAB_", "OUTRIDER_NO_SKIPS")
"""Variables of other parts of the product that start alike (but see `collector_url`)."""


class ExpectedDrift(Struct, frozen=True, forbid_unknown_fields=True):
    """Drift that is this task's ordinary work. All parts given must hold; an empty part always does.

    `container` is a container's name, `directory` where the new file lies, `ancestor` the path of an ancestor's
    executable that must itself be of the image.
    """

    container: str = ""
    directory: str = ""
    ancestor: str = ""


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the operator decides. Durations in seconds, sizes in bytes."""

    collector_url: str = ""
    """Where batches go, such as https://collector.example:8443; empty keeps them in the journal alone."""
    collector_ca_file: str = ""
    """A PEM file of authorities to trust for the collector, besides the system's."""
    token: str = ""
    """The bootstrap token for enrolment."""
    token_file: str = ""
    """A file that holds the token, instead of `token`."""
    enrol: Literal["auto", "token", "aws", "both"] = "auto"
    """What enrols the sidecar. `token`: the bootstrap token. `aws`: the role of the task or the instance it is in.
    `both`: both together. `auto`: the token where there is one, the role where ECS gives one or there is no token."""
    collector_name: str = ""
    """What the collector calls itself (its setting `name`): an AWS identity is signed for it. Empty is the host in
    `collector_url`."""
    sts_endpoint: str = ""
    """Address of the STS that the AWS identity is signed for, such as a VPC endpoint's; empty is the region's own."""
    journal_dir: str = "/outrider"
    """Where the journal is: a volume mounted in the sidecar alone."""
    journal_limit_bytes: int = 64 * 1024 * 1024
    """Most bytes the journal may take; past it events are shed first, findings last, and all of it is counted."""
    heartbeat_s: float = 10.0
    """A batch is sent at least this often, empty if need be; the collector reports silence."""
    stop_timeout_s: float = 30.0
    """The container's stopTimeout: guarding ends five seconds before it runs out."""
    rules: tuple[str, ...] = ()
    """Rule files or directories of your own, read after the built-in pack."""
    intel: tuple[str, ...] = ()
    """Files of domains of your own, one a line; `category,domain` names another category than mining."""
    lists_key: str = ""
    """The public key, in hexadecimal, that the collector's threat lists must be signed with; empty pins the one that it
    shows at the first enrolment."""
    lists_limit_bytes: int = 32 * 1024 * 1024
    """Most memory that the collector's threat lists may take, while they are exchanged twice as much; longer lists are
    refused, and told of. 0 takes none."""
    tracing_off: tuple[str, ...] = ()
    """Names of containers whose processes are not traced; they are watched by polling, and said to be."""
    release: tuple[str, ...] = ()
    """More paths of programs that are let go of at their exec (debuggers, profilers)."""
    expected_drift: tuple[ExpectedDrift, ...] = ()
    """Drift that is this task's ordinary work and raises nothing; `outrider doctor` shows what is silenced."""
    file_watch_limit: int = 12_000
    """Most directories watched in one task; each costs the sidecar some 400 bytes and the kernel 1 KiB."""
    send_events: bool = True
    """Send events besides findings."""
    findings_file: str = ""
    """Write each finding to this file too, one JSON object a line; `-` is standard output."""
    falco_output: tuple[str, ...] = ()
    """Tell findings as Falco's JSON too: `-` is standard output; else absolute paths, and http(s) addresses."""
    falco_ca_file: str = ""
    """A PEM file of authorities to trust for the addresses of `falco_output`, instead of the system's."""
    hostname: str = ""
    """The host's name in Falco's JSON; empty is this machine's own."""
    metadata_uri: str = ""
    """Base address of the task metadata endpoint v4; set by ECS."""
    mode: Literal["auto", "task", "host"] = "auto"
    """`task`: guard the task that the sidecar is in. `host`: guard every container of this machine. `auto`: `host`
    where the machine's own processes are seen and the kernel tells of them, else `task`."""
    guard_host: bool = False
    """Guard the machine's own processes too, those of no container."""
    agent_uri: str = "http://localhost:51678"
    """Base address of the ECS agent's introspection API, which names the containers of a host."""
    include: tuple[str, ...] = ()
    """Selectors of containers to guard; empty guards all. See docs/ec2.md for their form."""
    exclude: tuple[str, ...] = ()
    """Selectors of containers to leave alone, listed wherever coverage is told of; it wins over `include`."""
    respond: Literal["off", "dry-run", "on"] = "off"
    """Whether rules with `respond: deny` refuse the start of a program: not at all, told only, or really."""
    respond_budget_ms: int = 50
    """Longest that the start of a program waits for that decision; past it the program starts."""
    respond_limit: int = 30
    """Most refusals in a minute; past it refusing ends, for good, and a finding says so."""
    packets: bool = True
    """Tap packets; off leaves connections, DNS and TLS names unseen, and a very busy server a little faster."""
    attach: bool = True
    """Trace processes; off leaves them to polling."""


class Source(Struct, frozen=True):
    """Where a value came from, for `--print-settings`."""

    name: str
    value: Any
    source: str


def load(environ: Mapping[str, str], *, file: Path | None = None) -> tuple[Settings, list[Source]]:
    """Settings from the file (or the one OUTRIDER_CONFIG names) and the environment.

    Raises ConfigError with what is wrong, where, and the nearest known name.
    """
    path = file or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if path is not None:
        for name, value in _read_toml(path).items():
            _known(name, f"{path}: {name}")
            values[name], sources[name] = value, str(path)
    for variable, text in environ.items():
        if (key := _key_of(variable)) is not None:
            values[key], sources[key] = _from_text(key, text, variable), f"environment {variable}"
    if METADATA_VARIABLE in environ and "metadata_uri" not in values:
        values["metadata_uri"], sources["metadata_uri"] = environ[METADATA_VARIABLE], f"environment {METADATA_VARIABLE}"
    try:
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        place = next((sources[k] for k in sources if f"$.{k}" in str(error)), "settings")
        raise ConfigError(f"{place}: {error}") from error
    _check(settings)
    return settings, [
        Source(name, getattr(settings, name), sources.get(name, "default")) for name in Settings.__struct_fields__
    ]


def token_of(settings: Settings) -> str:
    """The bootstrap token, from its file where one is named. Raises ConfigError."""
    if not settings.token_file:
        return settings.token
    try:
        return Path(settings.token_file).read_text().strip()
    except OSError as error:
        raise ConfigError(f"token_file {settings.token_file}: {error.strerror}") from error


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib  # only where there is a file

    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _key_of(variable: str) -> str | None:
    if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
        return None
    key = variable.removeprefix(PREFIX).lower()
    if key not in Settings.__struct_fields__ and variable.startswith(FOREIGN_PREFIXES):
        return None
    _known(key, f"environment variable {variable}", show=lambda k: PREFIX + k.upper())
    return key


def _known(key: str, place: str, *, show: Any = str) -> None:
    if key in Settings.__struct_fields__:
        return
    import difflib  # only for a mistake

    near = difflib.get_close_matches(key, Settings.__struct_fields__, n=1)
    known = ", ".join(map(show, Settings.__struct_fields__))
    hint = f"; did you mean {show(near[0])}?" if near else f"; known are {known}"
    raise ConfigError(f"{place}: unknown setting{hint}")


def _from_text(key: str, text: str, variable: str) -> Any:
    """An environment variable's text in the type of its setting; lists are comma-separated, tables are JSON."""
    kind = next(f.type for f in msgspec.structs.fields(Settings) if f.name == key)
    if kind is bool:
        if text.lower() not in (*_ON, *_OFF):
            raise ConfigError(f"environment variable {variable}: {text!r} is neither on nor off")
        return text.lower() in _ON
    try:
        if kind in (int, float):
            return kind(text)
        if kind is str or get_origin(kind) is Literal:
            return text
        if key == "expected_drift":
            return msgspec.json.decode(text)
    except (ValueError, msgspec.DecodeError) as error:
        raise ConfigError(f"environment variable {variable}: {text!r}: {error}") from error
    return tuple(part for part in text.split(",") if part)


def _check(settings: Settings) -> None:
    if settings.collector_url and not settings.collector_url.startswith(("http://", "https://")):
        raise ConfigError(f"collector_url {settings.collector_url!r}: must start with https:// (or http:// for a lab)")
    for target in settings.falco_output:
        if target != "-" and not target.startswith(("/", "http://", "https://")):
            raise ConfigError(f"falco_output {target!r}: must be `-`, an absolute path, or an http(s):// address")
    if settings.sts_endpoint and not settings.sts_endpoint.startswith(("http://", "https://")):
        raise ConfigError(f"sts_endpoint {settings.sts_endpoint!r}: must start with https:// (or http:// for a lab)")
    if settings.collector_name and not is_collector_name(settings.collector_name):
        raise ConfigError(f"collector_name {settings.collector_name!r}: must be ASCII without spaces")
    if settings.enrol in ("token", "both") and settings.collector_url and not (settings.token or settings.token_file):
        raise ConfigError(f"enrol is {settings.enrol!r}, and neither token nor token_file is set")
    if settings.lists_key and not _is_key(settings.lists_key):
        raise ConfigError(f"lists_key {settings.lists_key!r}: must be 64 hexadecimal digits")
    if settings.token and settings.token_file:
        raise ConfigError("token and token_file are both set: keep one")
    for name in (
        *("heartbeat_s", "stop_timeout_s", "journal_limit_bytes", "file_watch_limit"),
        *("respond_budget_ms", "respond_limit"),
    ):
        if not getattr(settings, name) > 0:  # so that nan is refused, too
            raise ConfigError(f"{name} {getattr(settings, name)}: must be greater than 0")
        if math.isinf(getattr(settings, name)):
            raise ConfigError(f"{name} {getattr(settings, name)}: must have an end")
    if settings.respond_budget_ms > MAX_BUDGET_MS:
        raise ConfigError(
            f"respond_budget_ms {settings.respond_budget_ms}: at most {MAX_BUDGET_MS}: programs wait for it"
        )


def _is_key(text: str) -> bool:
    try:
        return len(bytes.fromhex(text)) == 32
    except ValueError:
        return False
