"""What is to be exported where: a list of entries, from a setting or a file, read into one struct for each kind.

A list is JSON or TOML (`[[exports]]` tables). An error names the entry, and the nearest key or kind that is known.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from outrider_collector.store.stored import State
from outrider_wire.errors import ConfigError
from outrider_wire.findings import Severity

MAX_EXPORTS: Final = 32
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_ALL_STATES: Final[list[State]] = ["new", "archived", "suppressed"]
_NEW: Final[list[State]] = ["new"]
_Host = Annotated[str, Meta(min_length=1)]


class Export(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all exports have.

    name: what it is called in the store, in metrics and in `outrider exports`; the kind when empty. A new name begins
        anew: see `begin`.
    severity: only findings of this severity or a higher one.
    types: only findings whose type matches one of these patterns, in which `*` stands for any text; empty: all.
    states: only findings in one of these states: new, archived, suppressed.
    begin: where a new export begins: `now`, or with `all` that the store has.
    repeats_s: a finding that repeats is sent at most once in so many seconds; 0 sends each change.
    tries: how often one finding is tried that the target does not take while it takes others.
    """

    name: str = ""
    severity: Severity = "LOW"
    types: list[str] = []
    states: list[State] = msgspec.field(default_factory=_NEW.copy)
    begin: Literal["now", "all"] = "now"
    repeats_s: Annotated[float, Meta(ge=0, le=7 * 86_400)] = 900.0
    tries: Annotated[int, Meta(ge=1, le=100)] = 8

    @property
    def news_only(self) -> bool:
        """Whether it is told only of what happened, not of what was done about it (archived, assigned, noted)."""
        return "archived" not in self.states


class SecurityHub(Export, frozen=True, kw_only=True, tag_field="kind", tag="security-hub"):
    """AWS Security Hub. `account` is the caller's and asked for when empty; `region` is boto3's when empty."""

    states: list[State] = msgspec.field(default_factory=_ALL_STATES.copy)
    region: str = ""
    account: Annotated[str, Meta(pattern=r"^(\d{12})?$")] = ""
    endpoint: str = ""


class EventBridge(Export, frozen=True, kw_only=True, tag_field="kind", tag="eventbridge"):
    """Amazon EventBridge. `bus` is a name or an ARN."""

    bus: Annotated[str, Meta(min_length=1, max_length=1600)] = "default"
    source: Annotated[str, Meta(min_length=1, max_length=256)] = "outrider"
    detail_type: Annotated[str, Meta(min_length=1, max_length=128)] = "Outrider Finding"
    region: str = ""
    endpoint: str = ""


class Falcosidekick(Export, frozen=True, kw_only=True, tag_field="kind", tag="falcosidekick"):
    """falcosidekick, or whoever takes Falco's alerts by HTTP. `ca_file` is a PEM file of authorities to trust."""

    url: str
    ca_file: str = ""
    timeout_s: Annotated[float, Meta(gt=0, le=20)] = 10.0


class Webhook(Export, frozen=True, kw_only=True, tag_field="kind", tag="webhook"):
    """Any receiver of JSON by HTTP. `secret_file` holds what the requests are signed with; `format` is their body."""

    url: str
    secret_file: str
    format: Literal["outrider", "guardduty", "asff", "ocsf"] = "outrider"
    ca_file: str = ""
    timeout_s: Annotated[float, Meta(gt=0, le=20)] = 10.0


class Lines(Export, frozen=True, kw_only=True, tag_field="kind", tag="lines"):
    """One JSON object a line, to standard output (`-`) or a file that is appended to."""

    path: _Host = "-"
    format: Literal["ocsf", "guardduty", "outrider", "falco", "asff"] = "ocsf"


class Syslog(Export, frozen=True, kw_only=True, tag_field="kind", tag="syslog"):
    """A syslog receiver at `udp://`, `tcp://` or `tls://HOST:PORT`, RFC 5424; `format` is what the message says."""

    url: str
    format: Literal["text", "cef", "json"] = "text"
    facility: Annotated[int, Meta(ge=0, le=23)] = 13
    hostname: str = ""
    ca_file: str = ""
    timeout_s: Annotated[float, Meta(gt=0, le=20)] = 10.0


KINDS: Final[dict[str, type[Export]]] = {
    "security-hub": SecurityHub,
    "eventbridge": EventBridge,
    "falcosidekick": Falcosidekick,
    "webhook": Webhook,
    "lines": Lines,
    "syslog": Syslog,
}


def load_exports(listed: str, path: str) -> list[Export]:
    """The exports that a setting and a file list, together. Raises ConfigError."""
    entries = _parse(listed, "exports") if listed.strip() else []
    if path:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ConfigError(f"the exports file {path!r} cannot be read: {error}") from error
        entries += _parse(text, path)
    if len(entries) > MAX_EXPORTS:
        raise ConfigError(f"{len(entries)} exports; there may be {MAX_EXPORTS}")
    exports = [_read_entry(entry, f"export {number}") for number, entry in enumerate(entries, 1)]
    names = [export.name for export in exports]
    for number, name in enumerate(names, 1):
        if name in names[: number - 1]:
            raise ConfigError(f"export {number}: another is called {name!r} already; give each a `name` of its own")
    return exports


def _parse(text: str, where: str) -> list[Any]:
    """The entries of a list in JSON, or of `[[exports]]` in TOML."""
    found: Any
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as not_json:
        try:
            found = tomllib.loads(text)
        except (ValueError, RecursionError) as not_toml:
            first = text.lstrip()[:2]
            error = not_json if first[:1] == "{" or (first[:1] == "[" and first != "[[") else not_toml
            raise ConfigError(f"{where} is neither JSON nor TOML: {error}") from error
    if isinstance(found, dict):
        for key in found:
            if key != "exports":
                raise ConfigError(f"{where}: unknown key {key!r}; exports are a list called `exports`")
        found = found.get("exports")
    if not isinstance(found, list):
        raise ConfigError(f"{where}: exports must be a list of tables")
    return found


def _read_entry(entry: Any, where: str) -> Export:
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} must be a table with at least a `kind`, not {entry!r}"[:300])
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(KINDS)}"
        raise ConfigError(f"{where}: there is no kind {str(kind)[:64]!r}; {hint}")
    where = f"{where} ({kind})"
    model = KINDS[kind]
    _refuse_unknown(entry, model, where)
    try:
        export = msgspec.convert(entry, model)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from error
    export = msgspec.structs.replace(export, name=export.name or kind)
    _check(export, where)
    return export


def _refuse_unknown(entry: Mapping[str, Any], model: type[Export], where: str) -> None:
    known = ("kind", *model.__struct_fields__)
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise ConfigError(f"{where}: unknown key {str(key)[:64]!r}; {hint}")


def _check(export: Export, where: str) -> None:
    if not _NAME.fullmatch(export.name):
        raise ConfigError(f"{where}: name {export.name!r} must be of small letters, digits and `.-_`, at most 64")
    if not export.states:
        raise ConfigError(f"{where}: states is empty; leave it out, or name at least one of {', '.join(_ALL_STATES)}")
    if isinstance(export, Falcosidekick | Webhook):
        split_url(export.url, ("http", "https"), where)
    if isinstance(export, Syslog):
        split_url(export.url, ("udp", "tcp", "tls"), where)


def split_url(url: str, schemes: tuple[str, ...], where: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path with query of an address. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{where}: url {url!r}: {error}") from error
    if parts.scheme not in schemes or not parts.hostname or parts.username is not None:
        shape = " or ".join(f"{scheme}://HOST:PORT" for scheme in schemes)
        raise ConfigError(f"{where}: url must be of the form {shape}, without a user or password")
    if not url.isprintable() or " " in url or not url.isascii():
        raise ConfigError(f"{where}: url holds characters that an address cannot have; percent-encode them")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, parts.hostname, port, path
