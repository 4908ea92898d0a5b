"""A finding in AWS's Security Finding Format (ASFF), schema 2018-10-08: pure.

Never set, since they belong to those who triage in Security Hub: Workflow, Note, UserDefinedFields, VerificationState.
Severity and Types are in FindingProviderFields, so that importing a finding again does not undo a customer's change.
Lengths are those that the API documents for each field; a test compares them with botocore's model.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

import msgspec

from outrider_collector.export.places import Site, site_of
from outrider_collector.export.texts import shown
from outrider_collector.store.stored import StoredFinding
from outrider_wire.findings import Finding, ProcessView

Asff = dict[str, Any]

MAX_FINDING_BYTES: Final = 240_000
MAX_PRODUCT_FIELDS: Final = 50
MAX_VALUE: Final = 2048

_TYPES: Final = {
    "Backdoor": "TTPs/Command and Control",
    "CredentialAccess": "TTPs/Credential Access",
    "CryptoCurrency": "Effects/Resource Consumption",
    "DefenseEvasion": "TTPs/Defense Evasion",
    "Discovery": "TTPs/Discovery",
    "Execution": "TTPs/Execution",
    "Exfiltration": "Effects/Data Exfiltration",
    "Impact": "Effects/Resource Consumption",
    "InitialAccess": "TTPs/Initial Access",
    "Persistence": "TTPs/Persistence",
    "PrivilegeEscalation": "TTPs/Privilege Escalation",
    "Trojan": "TTPs/Command and Control",
    "UnauthorizedAccess": "TTPs/Initial Access",
}
"""ASFF's namespace and category for what a type begins with."""


def to_asff(found: StoredFinding, *, account: str, region: str, partition: str, now_ns: int) -> Asff:
    """The finding as the caller's account may import it. Its Id is the same for ever; `now_ns` is when it is told."""
    finding, site = found.finding, site_of(found)
    title = shown(finding.title, 256) or "Finding"
    whole: Asff = {
        "SchemaVersion": "2018-10-08",
        "Id": f"outrider/{found.id}",
        "ProductArn": f"arn:{partition}:securityhub:{region}:{account}:product/{account}/default",
        "GeneratorId": shown(f"outrider/{finding.rule}", 512),
        "AwsAccountId": account,
        "CreatedAt": at_ms(found.first_seen_ns),
        "UpdatedAt": at_ms(max(now_ns, found.last_seen_ns)),
        "FirstObservedAt": at_ms(found.first_seen_ns),
        "LastObservedAt": at_ms(found.last_seen_ns),
        "Title": title,
        "Description": shown(finding.description, 1024) or title,
        "FindingProviderFields": {
            "Severity": {"Label": finding.severity, "Original": finding.severity},
            "Types": [_type(finding.type)],
        },
        "ProductFields": _product_fields(found),
        "Resources": _resources(finding, site),
        "RecordState": "ACTIVE" if found.state == "new" else "ARCHIVED",
    }
    if remedy := shown(finding.remedy, 512):
        whole["Remediation"] = {"Recommendation": {"Text": remedy}}
    if finding.process is not None and (process := _process(finding.process)):
        whole["Process"] = process
    if action := _action(finding):
        whole["Action"] = action
    if threats := _threats(finding):
        whole["Threats"] = threats
    return _shed(whole)


def asff_bytes(whole: Asff) -> int:
    """The size of a finding as boto3 sends it, every character beyond ASCII escaped."""
    return len(json.dumps(whole))


def at_ms(at_ns: int) -> str:
    """RFC 3339 with milliseconds, which is what Security Hub keeps."""
    moment = datetime.fromtimestamp(min(max(at_ns, 0) // 1_000_000, 253_402_300_799_999) / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _type(kind: str) -> str:
    purpose, _, _ = kind.partition(":")
    other = "Unusual Behaviors/Container" if purpose == "Outrider" else "Unusual Behaviors/Process"
    category = _TYPES.get(purpose, other)
    return f"{category}/{shown(kind, 200).replace('/', '-') or 'Unnamed'}"


def _product_fields(found: StoredFinding) -> dict[str, str]:
    """What ASFF has no place for; the evidence comes last, so that it goes first where there is too much."""
    fields: dict[str, str] = {}
    for name, value in _said(found):
        if text := shown(value, MAX_VALUE):
            fields[shown(name, 128)] = text
        if len(fields) == MAX_PRODUCT_FIELDS:
            break
    return fields


def _said(found: StoredFinding) -> Iterator[tuple[str, str]]:
    finding, process = found.finding, found.finding.process
    yield "outrider/type", finding.type
    yield "outrider/rule", finding.rule
    yield "outrider/count", str(found.count)
    yield "outrider/attribution", finding.attribution
    yield "outrider/agent", finding.agent
    yield "outrider/state", found.state
    yield "outrider/tags", ", ".join(finding.tags)
    yield "outrider/occurrence", finding.id
    if process is not None:
        yield "outrider/process/command_line", process.cmdline
        yield "outrider/process/directory", process.cwd
        yield "outrider/process/uid", str(process.uid)
        above = (f"{each.exe or each.name} ({each.pid})" for each in process.ancestry)
        yield "outrider/process/ancestry", " < ".join(above)
    for name, value in finding.evidence.items():
        if name and value is not None:
            yield f"outrider/evidence/{name}", value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _resources(finding: Finding, site: Site) -> list[Asff]:
    container, found = finding.container, []
    image = shown(container.image, 512) if container else ""
    name = shown(container.name, 255) if container else ""
    if site.task_arn:
        task = {"ClusterArn": site.cluster_arn, "TaskDefinitionArn": site.definition_arn}
        inside = _filled({"Name": name, "Image": image})
        details = _filled(task) | ({"Containers": [inside]} if inside else {})
        found.append(_resource("AwsEcsTask", site.task_arn, {"AwsEcsTask": details} if details else {}, site))
        if site.cluster_arn:
            cluster = {"ClusterArn": site.cluster_arn, "ClusterName": site.cluster}
            found.append(_resource("AwsEcsCluster", site.cluster_arn, {"AwsEcsCluster": cluster}, site))
    if container is not None and (identity := shown(container.id or container.name, 512)):
        details = _filled({"Name": name, "ImageName": image})
        found.append(_resource("Container", identity, {"Container": details} if details else {}, site))
    return found or [_resource("Other", f"outrider-agent/{shown(finding.agent, 64) or 'unknown'}", {}, site)]


def _resource(kind: str, identity: str, details: Asff, site: Site) -> Asff:
    where = {"Partition": site.partition, "Region": site.region} if site.region else {}
    return {"Type": kind, "Id": identity, **where} | ({"Details": details} if details else {})


def _process(process: ProcessView) -> Asff:
    parent = process.ancestry[0].pid if process.ancestry else 0
    told = {
        "Name": shown(process.name, 64),
        "Path": shown(process.exe, 512),
        "Pid": process.pid if 0 < process.pid < 1 << 31 else None,
        "ParentPid": parent if 0 < parent < 1 << 31 else None,
    }
    return _filled(told)


def _action(finding: Finding) -> Asff:
    """A name asked for, or the other end of a connection."""
    evidence = finding.evidence
    if domain := shown(_text(evidence.get("dns.name")), 128):
        protocol = shown(_text(evidence.get("dns.transport")), 64).upper() or "UDP"
        asked = {"Domain": domain, "Protocol": protocol, "Blocked": False}
        return {"ActionType": "DNS_REQUEST", "DnsRequestAction": asked}
    remote = remote_of(finding)
    if remote is None or ":" in remote[0]:  # ASFF has a place for IPv4 addresses alone
        return {}
    outward = evidence.get("net.direction", evidence.get("stdio.direction")) != "inbound"
    connection: Asff = {
        "ConnectionDirection": "OUTBOUND" if outward else "INBOUND",
        "RemoteIpDetails": {"IpAddressV4": remote[0]},
        "Protocol": shown(_text(evidence.get("fd.l4proto")), 64).upper() or "TCP",
        "Blocked": False,
    }
    if remote[1]:
        connection["RemotePortDetails"] = {"Port": remote[1]}
    return {"ActionType": "NETWORK_CONNECTION", "NetworkConnectionAction": connection}


def remote_of(finding: Finding) -> tuple[str, int] | None:
    """Address and port (0 where unknown) of the other end that the evidence tells of."""
    evidence = finding.evidence
    address, port = _text(evidence.get("fd.rip")), evidence.get("fd.rport")
    if not address:
        address, _, text = _text(evidence.get("stdio.remote")).rpartition(":")
        port = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    try:
        ip = ip_address(address.strip("[]")[:64])
    except ValueError:
        return None
    whole = port if isinstance(port, int) and 0 < port < 65_536 else 0
    mapped = ip.ipv4_mapped if ip.version == 6 else None
    return str(mapped or ip), whole


def _threats(finding: Finding) -> list[Asff]:
    """What a threat list knew."""
    name = shown(_text(finding.evidence.get("dns.category")) or _text(finding.evidence.get("intel.category")), 128)
    if not name:
        return []
    return [{"Name": name, "Severity": finding.severity, "ItemCount": 1}]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _filled(fields: Asff) -> Asff:
    return {name: value for name, value in fields.items() if value not in ("", None)}


def _shed(whole: Asff) -> Asff:
    """The finding without as much of its evidence as it takes to fit."""
    fields = whole["ProductFields"]
    while fields and asff_bytes(whole) > MAX_FINDING_BYTES:
        fields.popitem()
    return whole
