"""What the host process takes while fifty containers rest: memory of all its processes, and processor time.

`python -m bench.host_idle [--json] [--containers N]`. A lab container instance, each container a task of its own with a
network namespace of its own, as awsvpc has it. Memory is PSS, as in `footprint`. Needs root and runc.
"""

import argparse
import time
from typing import Final

from msgspec.structs import replace

from bench.footprint import SETTLE_LIMIT_S, WINDOW_S, WINDOWS, idle_percent, pss_mib, rest_row
from bench.rows import Row, show
from outrider_lab.host.lab import HostLab
from outrider_lab.host.settings import HostSettings, HostTaskSettings
from outrider_lab.settings import MAIN, ContainerSettings
from outrider_sidecar.settings import Settings

CONTAINERS: Final = 50
SETTLED_PERCENT: Final = 5.0
MEMORY_MIB: Final = 80.0
PROCESSOR_PERCENT: Final = 2.0
RESTING: Final = HostTaskSettings(main=ContainerSettings(name=MAIN, command=("sleep", "infinity")))


def measure(containers: int = CONTAINERS) -> list[Row]:
    """All rows."""
    with HostLab(HostSettings(tasks=(RESTING,), heartbeat_s=Settings().heartbeat_s)) as lab:
        for number in range(1, containers):
            lab.start_task(replace(RESTING, family=f"family-{number}"))
        deadline = time.monotonic() + SETTLE_LIMIT_S
        while idle_percent(lab.outrider_pids(), 2.0) > SETTLED_PERCENT and time.monotonic() < deadline:
            pass  # each container's layer is looked through first
        pids = lab.outrider_pids()
        shares, sizes = [], []
        for _ in range(WINDOWS):
            shares.append(idle_percent(pids, WINDOW_S))
            sizes.append(pss_mib(pids))
    return [
        rest_row(f"PSS of all its processes, {containers} containers at rest", sizes, "MiB", MEMORY_MIB),
        rest_row(f"processor time, {containers} containers at rest", shares, "% of a core", PROCESSOR_PERCENT),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--containers", type=int, default=CONTAINERS)
    given = parser.parse_args()
    show(measure(given.containers), as_json=given.json)


if __name__ == "__main__":
    main()
