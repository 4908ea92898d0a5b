"""Which Debian packages an image has files of, and the records of them that scanners and licences ask for."""

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

STATUS = Path("/var/lib/dpkg/status")
FORMAT = "${binary:Package}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n"


@dataclass(frozen=True)
class SystemPackage:
    """An installed package. `key` is how dpkg tells those of several architectures apart."""

    key: str
    name: str
    version: str
    architecture: str
    source: str
    source_version: str


def owners(paths: Iterable[Path], *, named: set[str]) -> list[SystemPackage]:
    """The packages that own any of these files, and those `named`; none where the base has no dpkg."""
    if shutil.which("dpkg-query") is None:
        return []
    wanted = {name for path in paths for name in spellings(path)}
    lists = Path("/var/lib/dpkg/info").glob("*.list")
    keys = named | {path.name.removesuffix(".list") for path in lists if _lists(path, wanted)}
    said = subprocess.run(["dpkg-query", "-W", "-f", FORMAT], capture_output=True, text=True, check=True).stdout
    every = (SystemPackage(*line.split("\t")) for line in said.splitlines())
    return sorted((p for p in every if {p.key, p.name} & keys), key=lambda p: p.key)


def spellings(path: Path) -> tuple[str, ...]:
    """A file's names: a package may know it by the folder that was merged into /usr since."""
    name = str(path)
    return (name, name.removeprefix("/usr")) if name.startswith("/usr/") else (name,)


def _lists(path: Path, wanted: set[str]) -> bool:
    return any(line in wanted and not Path(line).is_dir() for line in path.read_text().splitlines())


def keep_records(packages: Iterable[SystemPackage], into: Path) -> None:
    """Each package's record, where scanners look in an image without dpkg, and its copyright."""
    stanzas = {_field(text, "Package"): text for text in STATUS.read_text().split("\n\n")} if STATUS.exists() else {}
    folder = into / "var/lib/dpkg/status.d"
    folder.mkdir(parents=True, exist_ok=True)
    for package in packages:
        (folder / package.name).write_text(stanzas[package.name].strip() + "\n")
        notice = Path("/usr/share/doc", package.name, "copyright")
        if notice.exists():
            target = into / notice.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(notice, target)


def _field(stanza: str, name: str) -> str:
    return next((line.partition(": ")[2] for line in stanza.splitlines() if line.startswith(f"{name}: ")), "")
