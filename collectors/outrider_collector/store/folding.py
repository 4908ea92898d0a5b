"""Which findings are the same one again: the key by which repeats fold, and the columns a finding is asked for by.

Two findings are one when all of these are equal:

- type and rule;
- the workload: account, region, cluster and task family, so that all tasks of a service count together and a new
  deployment goes on where the last one was. Without a family it is the task, without a task the agent;
- the container's name (its image where it has none), since ids are new with every start;
- the executable of the process;
- the subjects: those of `SUBJECTS` that the finding's evidence holds, such as the new file, the library, the name
  asked for, the remote address without its port.

What an agent's own record lacks (`Outrider:Integrity/…`) is of that agent and of no other: its key has the agent in
the place of the workload. Process ids, times, command lines and ports are no part of a key: they differ each time.
An agent folds within its own life by what its rules say (`fold`), which holds process ids; this is the fold above it.
"""

import hashlib
from typing import Final

from msgspec import Struct

from outrider_wire.findings import Finding, TaskView

SUBJECTS: Final = (
    "proc.new_file",
    "library.path",
    "dns.name",
    "stdio.remote",
    "fd.rip",
    "fs.path.name",
    "fd.name",
)
INTEGRITY: Final = "Outrider:Integrity/"


class Workload(Struct, frozen=True):
    """Where a task runs, read from its ARN where nobody told."""

    account: str = ""
    region: str = ""
    cluster: str = ""
    family: str = ""


def workload_of(task: TaskView | None) -> Workload:
    """The workload of a task: `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID`."""
    if task is None:
        return Workload()
    parts = task.arn.split(":", 5)
    region, account, resource = (parts[3], parts[4], parts[5]) if len(parts) == 6 else ("", "", "")
    path = resource.split("/")
    cluster = task.cluster.rpartition("/")[2] or (path[1] if len(path) == 3 else "")
    return Workload(account=account, region=region, cluster=cluster, family=task.family)


def fold_id(finding: Finding) -> str:
    """The id of the finding that this one folds into: 32 hex digits, the same for ever."""
    container, process = finding.container, finding.process
    parts = [
        finding.type,
        finding.rule,
        *_scope(finding),
        (container.name or container.image) if container else "",
        process.exe if process else "",
        *_subjects(finding),
    ]
    whole = "\0".join(part.replace("\0", "\0\0") for part in parts)
    return hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:32]


def _scope(finding: Finding) -> list[str]:
    where, task = workload_of(finding.task), finding.task
    if finding.type.startswith(INTEGRITY) or task is None or not (task.family or task.arn):
        return ["agent", finding.agent]
    if task.family:
        return ["family", where.account, where.region, where.cluster, task.family]
    return ["task", task.arn]


def _subjects(finding: Finding) -> list[str]:
    found = []
    for name in SUBJECTS:
        value = finding.evidence.get(name)
        if value is None or value == "" or (name == "fd.name" and not str(value).startswith("/")):
            continue
        found += [name, _without_port(str(value)) if name == "stdio.remote" else str(value)]
    return found


def _without_port(remote: str) -> str:
    """`10.0.0.1:4444` and `[::1]:4444` without the port; a bare address stays."""
    address, colon, port = remote.rpartition(":")
    plain = colon and port.isascii() and port.isdecimal() and (":" not in address or address.endswith("]"))
    return address if plain else remote
