"""Building the Dockerfile as it is, where packages are reached only as this machine's own pip reaches them.

pip's settings, from its files and its environment, are written into one file that is mounted over the build's
/etc/pip.conf; the certificates and folders that it names are mounted beside it. Nothing of that gets into an image.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from outrider_lab.images.base import NAME as BASE
from outrider_lab.images.podman import Podman

SIDECAR: Final = "localhost/outrider:test"
COLLECTOR: Final = "localhost/outrider-collector:test"
INSIDE: Final = "/run/outrider-build"
CERTIFICATES: Final = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
KEPT: Final = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
TIMEOUT_S: Final = 600.0


def build(podman: Podman, checkout: Path, *, target: str, name: str, revision: str = "") -> None:
    """Build one target of the checkout's Dockerfile on the local base. Raises RuntimeError."""
    podman.run(
        *("build", "--pull=never", "--network", "host", "--format", "docker", "--layers", "--target", target),
        *("--build-arg", f"BASE={BASE}", "--build-arg", f"REVISION={revision}"),
        *(word for mount in registry_mounts(podman.folder) for word in ("--volume", mount)),
        *("--tag", name, str(checkout)),
        timeout_s=TIMEOUT_S,
    )


def registry_mounts(folder: Path) -> list[str]:
    """What the build is to see of this machine: `source:target:ro` each."""
    settings = pip_settings()
    mounts: list[tuple[str, str]] = []
    lines = ["[global]", *(f"{name} = {settings[name]}" for name in KEPT if name in settings)]
    bundle = settings.get("cert") or next((os.environ[name] for name in CERTIFICATES if os.environ.get(name)), "")
    if bundle and Path(bundle).exists():
        mounts.append((bundle, f"{INSIDE}/certificates.pem"))
        lines.append(f"cert = {INSIDE}/certificates.pem")
    links = [word for word in settings.get("find-links", "").split() if Path(word).is_dir()]
    mounts += [(link, f"{INSIDE}/links-{number}") for number, link in enumerate(links)]
    if links:
        lines.append("find-links = " + " ".join(f"{INSIDE}/links-{number}" for number in range(len(links))))
    file = folder / "pip.conf"
    file.write_text("\n".join(lines) + "\n")
    file.chmod(0o600)  # an index's address may hold a password
    return [f"{source}:{target}:ro" for source, target in (*mounts, (str(file), "/etc/pip.conf"))]


def pip_settings() -> dict[str, str]:
    """pip's own settings on this machine, the environment's over its files'."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    found: dict[str, str] = {}
    rank = {"global": 0, "install": 1, ":env:": 2}
    lines = [line.partition("=") for line in said.splitlines() if "=" in line]
    for key, _, value in sorted(lines, key=lambda line: rank.get(line[0].partition(".")[0], -1)):
        section, _, name = key.partition(".")
        if section in rank:
            found[name] = str(ast.literal_eval(value))
    return found
