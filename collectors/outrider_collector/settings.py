"""Settings of the collector: from the environment, then from arguments; unknown names are refused."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from outrider_wire.batch import MAX_BATCH_BYTES
from outrider_wire.errors import ConfigError

PREFIX = "OUTRIDER_COLLECTOR_"

SHORTEST_TOKEN = 8


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one collector runs. Each field is also the environment's `OUTRIDER_COLLECTOR_NAME`.

    listen: host:port to take requests at; port 0 lets the system choose.
    data: directory for the spool and the default database.
    token, token_file: the bootstrap token that agents enrol with, itself or in a file.
    read_token: what readers of findings may show, beside the tokens that are made. Where neither it nor admin_token is
        set and no other token was made, the bootstrap token may read, too.
    admin_token, admin_token_file: what may show who makes tokens and decides everything, itself or in a file.
    database: URL of the findings store, as postgresql://user@host/name; empty is SQLite in the data directory.
    occurrence_days, batch_days: how many days the store keeps single occurrences of findings, and the list of batches;
        0 keeps all. A finding keeps its latest occurrence and its count.
    finding_days, audit_days: the same for findings, by when they were last seen, and for the audit log.
    silence_intervals: an agent is silent after this many of its promised intervals without a batch.
    silence_check_s: how often that is looked at.
    max_batch_bytes: longest body of a batch. body_timeout_s: longest wait for a whole body, and for
        a whole head.
    request_timeout_s: longest that a request of the API may take; streams, batches and rules being applied apart.
    max_connections: connections at once; more are answered 503.
    metrics_open: whether anybody may read /metrics; otherwise it takes a token with the role read.
    ready_lag_bytes: when the index is further behind the spool, /readyz says so.
    lists: a TOML file that names the sources of threat lists; empty has none of its own.
    lists_refresh_s: how often the sources are read anew; the file itself is looked at every two seconds.
    lists_key, lists_key_file: the key that lists are signed with, 64 hexadecimal digits, itself or in a file; empty
        makes one and keeps it in the data. Collectors that share a store share it.
    collector_id: this collector's name in a store that several share; empty makes one and keeps it in the data.
    gap_grace_s: how long batches that are missing may yet come, through another collector, before that is told.
    absence_s: how long the collectors of one store wait for one that died and may come back with batches on its disk;
        until then missing batches and silence are not told.
    agent_bytes_per_s, agent_burst_bytes: each agent's share, and how much it may have saved up; 0 limits nobody.
    spool_bytes: how much of the raw batches is kept once indexed; the oldest go first.
    name: what agents call this collector when they sign for it with an AWS identity; the host of `listen` when empty.
    enrolment: what agents enrol with: `token`, `aws`, `both` together, or `any` of the two.
    enrolment_refusals: refused enrolments in a row that one address is told of, one a second after; 0 tells of all.
    trusted_proxies: addresses and networks of load balancers before this collector, comma-separated: what they write of
        `X-Forwarded-For` is believed. Else all agents behind one are one address.
    aws_accounts: numbers of the accounts whose roles may enrol, comma-separated; empty takes no AWS identity.
    aws_task_roles: names of ECS task roles that may enrol, or `account/name`; `*` stands for any text.
    aws_instance_roles: the same for roles of EC2 instances.
    aws_regions: regions whose STS may be asked, comma-separated.
    sts_endpoint: address of the only STS that may be asked instead: a VPC endpoint, or a stand-in.
    lake: where events and findings are kept as Parquet: a directory, or s3://bucket/prefix; empty keeps none.
    lake_endpoint, lake_region: another S3 endpoint (a VPC's, say) and the bucket's region, where AWS's own do not do.
    lake_days: how many days the lake keeps; 0 keeps all.
    lake_flush_s, lake_flush_rows, lake_flush_bytes: files are written when one of them is reached: seconds since the
        last time, records, bytes in memory.
    exports, exports_file: where findings are sent on, as a list in JSON or TOML, itself or in a file: docs/exports.md.
    tls_cert, tls_key: PEM files; without them the collector speaks plain HTTP (behind a load balancer).
    """

    listen: str = "127.0.0.1:8440"
    data: Path = Path("outrider-collector")
    token: str = ""
    token_file: str = ""
    read_token: str = ""
    admin_token: str = ""
    admin_token_file: str = ""
    database: str = ""
    occurrence_days: int = 90
    batch_days: int = 90
    finding_days: int = 0
    audit_days: int = 0
    silence_intervals: float = 3.0
    silence_check_s: float = 1.0
    max_batch_bytes: int = MAX_BATCH_BYTES
    body_timeout_s: float = 10.0
    request_timeout_s: float = 20.0
    max_connections: int = 12_000
    metrics_open: bool = False
    ready_lag_bytes: int = 256 << 20
    lists: str = ""
    lists_refresh_s: float = 300.0
    lists_key: str = ""
    lists_key_file: str = ""
    collector_id: str = ""
    gap_grace_s: float = 2.0
    absence_s: float = 60.0
    agent_bytes_per_s: int = 4 << 20
    agent_burst_bytes: int = 256 << 20
    spool_bytes: int = 4 << 30
    name: str = ""
    enrolment: Literal["any", "token", "aws", "both"] = "any"
    enrolment_refusals: int = 30
    trusted_proxies: str = ""
    aws_accounts: str = ""
    aws_task_roles: str = ""
    aws_instance_roles: str = ""
    aws_regions: str = ""
    sts_endpoint: str = ""
    lake: str = ""
    lake_endpoint: str = ""
    lake_region: str = ""
    lake_days: int = 0
    lake_flush_s: float = 300.0
    lake_flush_rows: int = 500_000
    lake_flush_bytes: int = 128 << 20
    exports: str = ""
    exports_file: str = ""
    tls_cert: str = ""
    tls_key: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """`listen` as host and port. Raises ConfigError."""
        host, colon, port = self.listen.rpartition(":")
        if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
            raise ConfigError(f"listen is {self.listen!r}; it must be HOST:PORT")
        return host.strip("[]"), int(port)


def load_settings(environment: Mapping[str, str], arguments: Mapping[str, str] | None = None) -> Settings:
    """Put settings together; arguments win over the environment. The token file is read here.

    Raises:
        ConfigError: an unknown name, a value of the wrong kind, or no token at all.
    """
    given = {name[len(PREFIX) :].lower(): value for name, value in environment.items() if name.startswith(PREFIX)}
    given |= arguments or {}
    _refuse_unknown(given)
    try:
        settings = msgspec.convert(given, Settings, strict=False, dec_hook=_read_path)
    except msgspec.ValidationError as error:
        raise ConfigError(f"collector settings: {error}") from error
    return _with_token(settings)


def _read_path(kind: type, value: object) -> Path:
    if kind is not Path or not isinstance(value, str) or not value:
        raise NotImplementedError(f"no setting is of {kind}")
    return Path(value)


def _refuse_unknown(given: Mapping[str, str]) -> None:
    known = Settings.__struct_fields__
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else ""
            raise ConfigError(f"{PREFIX}{name.upper()} is no setting of the collector{hint}")


def _with_token(settings: Settings) -> Settings:
    token = _read_token(settings.token, settings.token_file)
    if len(token) < SHORTEST_TOKEN:
        raise ConfigError(f"a bootstrap token of 8 characters or more is needed: {PREFIX}TOKEN or {PREFIX}TOKEN_FILE")
    admin_token = _read_token(settings.admin_token, settings.admin_token_file)
    for name, given in (("ADMIN_TOKEN", admin_token), ("READ_TOKEN", settings.read_token)):
        if given and len(given) < SHORTEST_TOKEN:
            raise ConfigError(f"{PREFIX}{name} must have 8 characters or more")
    if admin_token and admin_token in (token, settings.read_token):
        raise ConfigError(f"{PREFIX}ADMIN_TOKEN must be a token of its own: agents and readers hold the others")
    return msgspec.structs.replace(settings, token=token, admin_token=admin_token)


def _read_token(token: str, file: str) -> str:
    if token or not file:
        return token
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"the token file {file!r} cannot be read: {error}") from error
