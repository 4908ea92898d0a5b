"""The sidecar's image: how large it is, and how long it takes from its start to the first event that it sees.

`python -m bench.image [--json]`. The image is built by podman from the Dockerfile on a base made on this machine, and
run in a pod beside a program that starts a dropped file again and again. The time is from the engine's word that the
container runs (its StartedAt) to the first such start that a finding is about, by the finding's own clock, and to the
moment the collector has it. Where podman is missing, that is said.
"""

import argparse
import gzip
import io
import json
import statistics
import time
from datetime import datetime
from pathlib import Path

from bench.rows import Row, show
from outrider_lab.images import SIDECAR, Pod, Podman, build, check_podman, make_base
from outrider_lab.images.memory import memory_of
from outrider_lab.images.pod import LIMIT_MIB
from outrider_wire.errors import Unavailable
from outrider_wire.findings import Finding

STARTS = 7
SIZE_MB = 80.0
ATTACK = "cp /bin/true /tmp/again; while :; do /tmp/again; sleep 0.01; done"


def packed_bytes(podman: Podman) -> int:
    """What a registry would keep and a task pull: the layers, compressed as podman and Docker compress them."""
    file = podman.folder / "image.tar"
    podman.run("save", "--output", str(file), SIDECAR)
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6) as archive, file.open("rb") as layers:
        while data := layers.read(1 << 20):
            archive.write(data)
    file.unlink()
    return packed.tell()


def layer_bytes(podman: Podman) -> list[int]:
    """The size of each layer that holds files, the first one first."""
    history = json.loads(podman.run("history", "--format", "json", SIDECAR))
    return [layer["size"] for layer in reversed(history) if layer["size"] > 100_000]


def is_again(finding: Finding) -> bool:
    return finding.process is not None and finding.process.exe == "/tmp/again"


def seconds_of(text: str) -> float:
    """A time of day in UTC with nanoseconds, as seconds since the epoch."""
    return datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00").timestamp()


def start_once(podman: Podman) -> tuple[float, float, float]:
    """Seconds to the first event, seconds until the collector has it, and the PSS in MiB then."""
    with Pod(podman, SIDECAR, start_sidecar=False) as pod:
        pod.order(ATTACK)
        pod.start_sidecar()
        (first, *_) = sorted(filter(is_again, pod.findings(lambda fs: any(map(is_again, fs)))), key=lambda f: f.at)
        had_s = time.time()
        began_s = seconds_of(podman.inspect(pod.sidecar)["State"]["StartedAt"])
        return seconds_of(first.at) - began_s, had_s - began_s, memory_of(pod.pid(pod.sidecar)).pss_bytes / 2**20


def measure() -> list[Row]:
    """All rows."""
    try:
        check_podman()
        store = make_base()
    except Unavailable as error:
        said = {"value": "not measured", "unit": "", "spread": str(error), "target": ""}
        return [{"what": "the sidecar's image", **said}]
    with Podman(shared=store) as podman:
        began_s = time.monotonic()
        build(podman, Path(__file__).parents[1], target="sidecar", name=SIDECAR)
        took_s = time.monotonic() - began_s
        whole = podman.inspect(SIDECAR)["Size"] / 1e6
        layers = ", ".join(f"{size / 1e6:.1f}" for size in layer_bytes(podman))
        starts = [start_once(podman) for _ in range(STARTS)]
        packed = packed_bytes(podman) / 1e6
    seen, had, pss = zip(*starts, strict=True)
    return [
        row("the sidecar's image, whole, unpacked", [whole], "MB", SIZE_MB, spread=f"layers: {layers}"),
        row("the sidecar's image, whole, packed with gzip", [packed], "MB", None),
        row("from the container's start to the first event seen", seen, "s", None),
        row("from the container's start to its finding at the collector", had, "s", None),
        row(f"PSS of the sidecar then, of {LIMIT_MIB} MiB", pss, "MiB", None),
        row("building the image, packages downloaded", [took_s], "s", None),
    ]


def row(
    what: str, values: list[float] | tuple[float, ...], unit: str, target: float | None, *, spread: str = ""
) -> Row:
    """The median, and how far repeated measurements lay apart."""
    apart = [round(min(values), 2), round(max(values), 2)] if len(values) > 1 else spread
    return {"what": what, "value": round(statistics.median(values), 2), "unit": unit, "spread": apart, "target": target}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    show(measure(), as_json=parser.parse_args().json)


if __name__ == "__main__":
    main()
