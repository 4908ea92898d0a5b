"""Gather what an image of ours holds: the interpreter, our environment, the libraries both load, and nothing else.

    python3 gather.py --environment /opt/outrider --into /rootfs --name outrider --version 0.1.0

Runs in a build stage, by the base's own Python, on whatever architecture that is. Facts that shape it:

- Of a slim base most is never run by us: a shell, perl, apt, dpkg, pip, locales. What is not there cannot be used by
  an intruder either, and need not be patched.
- What an ELF file loads is what ldd(1) says. Beyond that only libgcc_s is opened by name (a thread's end), and the
  name service is a part of glibc since 2.34.
- The root is read-only, so bytecode that is missing is made anew at every start; the official images bring none for
  the standard library. It is made here, of the kind that is believed unchecked: no file's time decides anything.
- Scanners know Debian's packages in an image without dpkg by /var/lib/dpkg/status.d.
"""

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from sbom import python_components, system_component, write_sbom
from system_packages import SystemPackage, keep_records, owners

STDLIB_LEFT_OUT = {
    *("test", "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip", "lib2to3", "pydoc_data", "venv"),
    *("site-packages", "dist-packages", "sitecustomize.py", "__phello__", "_pyrepl", "EXTERNALLY-MANAGED"),
    *("curses", "dbm", "unittest"),
}
"""Of the standard library: tests, windows, terminals, installers."""
EXTENSIONS_LEFT_OUT = (
    *("_tkinter", "_test", "_ctypes_test", "_xxtestfuzz", "xxlimited", "xxsubtype"),
    *("_curses", "_dbm", "_gdbm", "nis", "readline"),
)
ENVIRONMENT_LEFT_OUT = {"tests", "include", "__pycache__"}
SOURCES = (".c", ".h", ".pxd", ".pyx", ".hpp", ".cpp", ".cc", ".pyi")
OPENED_BY_NAME = ("libgcc_s.so.1",)
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
CONFIGURATION = (
    *("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/os-release", "/etc/debian_version", CERTIFICATES),
    *("/etc/ssl/openssl.cnf", "/usr/lib/ssl/openssl.cnf", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
)
FOLDERS = {"proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755, "root": 0o700, "tmp": 0o1777, "var/tmp": 0o1777}


class Gathering:
    """A root file system that grows. Every file is put where it really lies, below `into`."""

    def __init__(self, into: Path) -> None:
        self.into = into
        self.sources: set[Path] = set()
        """What was copied, by its real path."""

    def put(self, path: Path) -> None:
        """Copy a file, a link with what it leads to, or a folder of them; nothing where there is nothing."""
        place = path.parent.resolve() / path.name
        if place in self.sources or not os.path.lexists(place):
            return
        self.sources.add(place)
        target = self.into / place.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if place.is_symlink():
            target.symlink_to(place.readlink())
            self.put(place.parent / place.readlink())
        elif place.is_dir():
            target.mkdir(exist_ok=True)
            for inner in sorted(place.iterdir()):
                self.put(inner)
        else:
            shutil.copy2(place, target)

    def programs(self) -> Iterator[Path]:
        """The sources that are ELF files."""
        for source in sorted(self.sources):
            if source.is_file() and not source.is_symlink() and _is_elf(source):
                yield source


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def standard_library(without: set[str]) -> Iterator[Path]:
    """What is kept of the standard library; `without` names packages and their extensions."""
    root = Path(sysconfig.get_path("stdlib"))
    left_out = STDLIB_LEFT_OUT | without
    extensions = (*EXTENSIONS_LEFT_OUT, *(f"_{name}" for name in without))
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if parts[0] in left_out or parts[0].startswith("config-") or "__pycache__" in parts:
            continue
        if parts[0] == "lib-dynload" and path.name.startswith(extensions):
            continue
        if not path.is_dir():
            yield path


def environment(root: Path) -> Iterator[Path]:
    """What is kept of the environment: packages without their tests and sources, and two programs."""
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if ENVIRONMENT_LEFT_OUT & set(parts) or (path.is_dir() and not path.is_symlink()):
            continue
        if parts[0] == "bin" and not path.name.startswith(("python", "outrider")):
            continue
        if path.suffix not in SOURCES:
            yield path


def libraries(programs: Iterable[Path]) -> set[Path]:
    """The shared libraries that these programs load, and the loader. Raises SystemExit where one is missing."""
    done = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False)
    if missing := [line.strip() for line in done.stdout.splitlines() if "not found" in line]:
        raise SystemExit(f"gather: libraries are missing from the base: {'; '.join(missing)}")
    words = (line.split() for line in done.stdout.splitlines() if line.startswith("\t"))
    return {Path(word) for line in words for word in line if word.startswith("/")}


def opened_by_name(beside: Iterable[Path]) -> set[Path]:
    """Libraries that no file names as needed, found in the folders of those that are."""
    return {folder / name for folder in {path.parent for path in beside} for name in OPENED_BY_NAME}


def link_merged_folders(into: Path) -> None:
    """`/lib` and its like lead where they lead in the base: the loader's path begins there."""
    for name in ("bin", "sbin", "lib", "lib64"):
        if (at := Path("/", name)).is_symlink() and not os.path.lexists(into / name):
            (into / name).symlink_to(at.readlink())


def compile_all(into: Path, folders: Iterable[Path]) -> None:
    """Bytecode beside every module, which knows its source by the path it will have. Raises SystemExit."""
    for folder in folders:
        good = compileall.compile_dir(
            into / folder.relative_to("/"),
            quiet=1,
            workers=0,
            stripdir=str(into),
            prependdir="/",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        if not good:
            raise SystemExit(f"gather: {folder} does not compile")


def gather(venv: Path, into: Path, *, without: set[str]) -> list[SystemPackage]:
    """Lay out the root file system; the system packages that it has files of."""
    gathering = Gathering(into)
    for path in (Path(sys.executable), *standard_library(without), *environment(venv), *map(Path, CONFIGURATION)):
        gathering.put(path)
    if not (into / CERTIFICATES[1:]).exists():
        raise SystemExit(f"gather: the base has no {CERTIFICATES}: no collector's TLS could be trusted")
    needed = libraries(gathering.programs())
    for path in needed | opened_by_name(needed):
        gathering.put(path)
    link_merged_folders(into)
    for name, mode in FOLDERS.items():
        (into / name).mkdir(parents=True, exist_ok=True)
        (into / name).chmod(mode)
    subprocess.run(["ldconfig", "-r", str(into)], check=True)
    shutil.rmtree(into / "var/cache/ldconfig", ignore_errors=True)
    compile_all(into, (Path(sysconfig.get_path("stdlib")), venv))
    packages = owners(gathering.sources, named={"ca-certificates"})
    keep_records(packages, into)
    return packages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", nargs="*", default=(), help="parts of the standard library to leave out, too")
    for name in ("environment", "into", "sbom"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("name", "version"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    packages = gather(arguments.environment, arguments.into, without=set(arguments.without))
    (site,) = (arguments.environment / "lib").glob("python3*/site-packages")
    components = [*python_components(site), *map(system_component, packages)]
    write_sbom(arguments.sbom, arguments.name, arguments.version, components)


if __name__ == "__main__":
    main()
