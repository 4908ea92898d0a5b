"""A finding in the shape of a GuardDuty Runtime Monitoring finding, as GuardDuty's own JSON has it: pure.

Rules, queries and playbooks that read GuardDuty's findings read these. Times inside `process` are seconds since the
epoch, as in the API's JSON. GuardDuty has no place for a command line and for what a rule decided by: that is in
`service.additionalInfo`, whose value is JSON in a text, as GuardDuty's is. What is not known is left out.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from outrider_collector.export.asff import at_ms, remote_of
from outrider_collector.export.places import Site, site_of
from outrider_collector.export.texts import shown
from outrider_collector.store.stored import StoredFinding
from outrider_wire.findings import Evidence, Finding, ProcessView, Severity
from outrider_wire.timestamps import from_rfc3339

Shape = dict[str, Any]

SEVERITIES: Final[dict[Severity, float]] = {"LOW": 2.0, "MEDIUM": 5.0, "HIGH": 8.0}
MAX_TEXT: Final = 2048
NO_ACCOUNT: Final = "000000000000"
NO_REGION: Final = "unknown"
MAX_LINEAGE: Final = 32

_CONTEXT: Final = {
    "scriptPath": ("proc.script",),
    "libraryPath": ("library.path",),
    "ldPreloadValue": ("proc.env[LD_PRELOAD]", "ld_preload"),
    "socketPath": ("unix.path", "evt.arg.path"),
    "mountSource": ("evt.arg.dev",),
    "mountTarget": ("evt.arg.dir",),
    "moduleName": ("module.name",),
    "addressFamily": ("evt.arg.domain",),
    "filePath": ("fs.path.name", "file.path", "proc.new_file"),
    "toolName": ("tool.name",),
}
"""Where in the evidence each text of the context may be."""


def to_guardduty(found: StoredFinding) -> Shape:
    """The finding. `id` is ours and the same for ever; so is `arn`, which names no detector since there is none."""
    finding, site = found.finding, site_of(found)
    account, region = site.account or NO_ACCOUNT, site.region or NO_REGION
    return {
        "schemaVersion": "2.0",
        "accountId": account,
        "region": region,
        "partition": site.partition,
        "id": found.id,
        "arn": f"arn:{site.partition}:outrider:{region}:{account}:finding/{found.id}",
        "type": shown(finding.type, 100) or "Outrider:Runtime/Unnamed",
        "resource": _resource(finding, site),
        "service": _service(found),
        "severity": SEVERITIES[finding.severity],
        "createdAt": at_ms(found.first_seen_ns),
        "updatedAt": at_ms(found.last_seen_ns),
        "title": shown(finding.title, 512),
        "description": shown(finding.description, MAX_TEXT) or shown(finding.title, 512),
    }


def _service(found: StoredFinding) -> Shape:
    finding = found.finding
    service: Shape = {
        "serviceName": "outrider",
        "featureName": "RuntimeMonitoring",
        "archived": found.state != "new",
        "count": min(found.count, (1 << 31) - 1),
        "eventFirstSeen": at_ms(found.first_seen_ns),
        "eventLastSeen": at_ms(found.last_seen_ns),
        "additionalInfo": {"type": "outrider", "value": msgspec.json.encode(_more(found)).decode()},
    }
    details: Shape = {}
    if finding.process is not None:
        details["process"] = _process(finding.process, finding.evidence)
    if context := _context(finding):
        details["context"] = context
    if details:
        service["runtimeDetails"] = details
    if action := _action(finding):
        service["action"] = action
    return service


def _more(found: StoredFinding) -> Shape:
    finding, process = found.finding, found.finding.process
    more: Shape = {
        "rule": shown(finding.rule, 512),
        "attribution": finding.attribution,
        "agent": finding.agent,
        "occurrence": shown(finding.id, 128),
        "state": found.state,
        "tags": [shown(tag, 128) for tag in finding.tags[:64]],
        "remedy": shown(finding.remedy, MAX_TEXT),
        "evidence": {shown(name, 128): _shown(value) for name, value in list(finding.evidence.items())[:100]},
    }
    if process is not None:
        more["commandLine"] = shown(process.cmdline, MAX_TEXT)
        more["ancestry"] = [shown(each.cmdline or each.exe, 512) for each in process.ancestry[:MAX_LINEAGE]]
    return more


def _shown(value: Evidence) -> Evidence:
    if isinstance(value, str):
        return shown(value, MAX_TEXT)
    return [shown(each, 512) for each in value[:64]] if isinstance(value, list) else value


def _process(process: ProcessView, evidence: Mapping[str, Evidence]) -> Shape:
    told = {
        "name": shown(process.name, 256),
        "executablePath": shown(process.exe, MAX_TEXT),
        "executableSha256": _text(evidence, "proc.exe_sha256")[:64],
        "pid": process.pid,
        "pwd": shown(process.cwd, MAX_TEXT),
        "startTime": _seconds(process.started_at),
        "uuid": f"{process.pid}-{process.start_ticks}",
        "user": shown(_text(evidence, "user.name"), 256),
        "userId": process.uid if process.uid >= 0 else None,
        "euid": evidence.get("user.euid") if type(evidence.get("user.euid")) is int else None,
        "lineage": [
            _filled({"name": shown(each.name, 256), "pid": each.pid, "executablePath": shown(each.exe, 512)})
            for each in process.ancestry[:MAX_LINEAGE]
        ],
    }
    return _filled(told)


def _context(finding: Finding) -> Shape:
    context = {
        name: shown(next((text for key in keys if (text := _text(finding.evidence, key))), ""), 1024)
        for name, keys in _CONTEXT.items()
    }
    operation = {"created": "Write", "written": "Write", "deleted": "Delete", "moved_in": "Rename"}
    context["fileOperation"] = operation.get(_text(finding.evidence, "file.change"), "")
    return _filled(context)


def _action(finding: Finding) -> Shape:
    if domain := shown(_text(finding.evidence, "dns.name"), 256):
        protocol = _text(finding.evidence, "dns.transport").upper()[:16]
        asked = _filled({"domain": domain, "protocol": protocol}) | {"blocked": False}
        return {"actionType": "DNS_REQUEST", "dnsRequestAction": asked}
    remote = remote_of(finding)
    if remote is None:
        return {}
    inbound = "inbound" in (_text(finding.evidence, "net.direction"), _text(finding.evidence, "stdio.direction"))
    connection: Shape = {
        "blocked": False,
        "connectionDirection": "INBOUND" if inbound else "OUTBOUND",
        "protocol": _text(finding.evidence, "fd.l4proto").upper()[:16] or "TCP",
        "remoteIpDetails": {"ipAddressV6" if ":" in remote[0] else "ipAddressV4": remote[0]},
    }
    if remote[1]:
        connection["remotePortDetails"] = {"port": remote[1]}
    return {"actionType": "NETWORK_CONNECTION", "networkConnectionAction": connection}


def _resource(finding: Finding, site: Site) -> Shape:
    container = finding.container
    inside = {}
    if container is not None:
        told = {"id": container.id, "name": container.name, "image": container.image}
        inside = _filled({name: shown(text, 512) for name, text in told.items()})
    if not site.task_arn:
        return {"resourceType": "Container", "containerDetails": inside} if inside else {"resourceType": "Instance"}
    task = {
        "arn": site.task_arn,
        "definitionArn": site.definition_arn,
        "version": site.revision,
        "group": f"family:{site.family}" if site.family else "",
        "containers": [inside] if inside else None,
    }
    cluster = {"name": site.cluster, "arn": site.cluster_arn, "taskDetails": _filled(task)}
    return {"resourceType": "ECSCluster", "ecsClusterDetails": _filled(cluster)}


def _seconds(started_at: str) -> float | None:
    try:
        return from_rfc3339(started_at) // 1_000_000 / 1000
    except ValueError:
        return None


def _text(evidence: Mapping[str, Evidence], name: str) -> str:
    value = evidence.get(name)
    return value if isinstance(value, str) else ""


def _filled(fields: Shape) -> Shape:
    return {name: value for name, value in fields.items() if value is not None and value != "" and value != []}
