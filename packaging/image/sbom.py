"""A bill of materials of an image, in CycloneDX's JSON: made of what is really installed, with no clock in it.

The same content gives the same bytes: the serial number is a digest of the components, and no time is written.
"""

import json
import platform
import re
import uuid
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from system_packages import SystemPackage

Json = dict[str, Any]

SPACE = uuid.UUID("6f0d2c4e-8a53-5b0c-9d55-6a1f0f6c7d21")
MAX_LICENCE_CHARACTERS = 80
"""A licence longer than this is its text, not its name."""


def python_components(site: Path) -> list[Json]:
    """The interpreter, and every distribution in a folder of packages, with what wheels say of their own content."""
    version = platform.python_version()
    interpreter = {
        "type": "application",
        "name": "python",
        "version": version,
        "purl": f"pkg:generic/python@{version}",
        "cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
        "licenses": [{"license": {"id": "PSF-2.0"}}],
    }
    found = sorted(metadata.distributions(path=[str(site)]), key=lambda one: canonical(one.name))
    return [_with_reference(interpreter), *map(_distribution, found)]


def _distribution(found: metadata.Distribution) -> Json:
    name = canonical(found.name)
    component: Json = {
        "type": "library",
        "name": name,
        "version": found.version,
        "purl": f"pkg:pypi/{name}@{quote(found.version)}",
        "licenses": licences(found.metadata),
        "needs": sorted(needs(found)),
    }
    if inner := _inside(found):
        component["components"] = inner
    return _with_reference({key: value for key, value in component.items() if value})


def licences(facts: metadata.PackageMetadata) -> list[Json]:
    """What a distribution says of its licence: an expression, or a name."""
    if expression := _first(facts, "License-Expression"):
        return [{"expression": expression}]
    text = _first(facts, "License").strip()
    if text and "\n" not in text and len(text) <= MAX_LICENCE_CHARACTERS:
        return [{"license": {"name": text}}]
    classifiers = [line for line in facts.get_all("Classifier") or () if line.startswith("License :: ")]
    return [{"license": {"name": line.rpartition(" :: ")[2]}} for line in classifiers]


def _first(facts: metadata.PackageMetadata, name: str) -> str:
    return str((facts.get_all(name) or [""])[0])


def needs(found: metadata.Distribution) -> set[str]:
    """The distributions it names as required; whether a marker holds is told by what is installed."""
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in found.requires or ())
    return {canonical(name[0]) for name in names if name}


def _inside(found: metadata.Distribution) -> list[Json]:
    """Libraries that a wheel brought along inside, by its own bill of materials where it has one (PEP 770)."""
    components: list[Json] = []
    for file in found.files or ():
        if "sboms" in file.parts and file.name.endswith(".json"):
            said = json.loads(file.read_text())
            components += [c for c in said.get("components", []) if c.get("name") != found.name and "purl" in c]
    kept = ("type", "name", "version", "purl", "licenses")
    unique = {one["purl"]: {key: one[key] for key in kept if key in one} for one in components}
    return [_with_reference(one, owner=found.name) for _, one in sorted(unique.items())]


def system_component(package: SystemPackage) -> Json:
    """A Debian package."""
    version = quote(package.version, safe="")
    return _with_reference(
        {
            "type": "library",
            "name": package.name,
            "version": package.version,
            "purl": f"pkg:deb/debian/{quote(package.name)}@{version}?arch={package.architecture}",
            "properties": [{"name": "debian:source", "value": f"{package.source} {package.source_version}"}],
        }
    )


def _with_reference(component: Json, *, owner: str = "") -> Json:
    return {"bom-ref": f"{owner}#{component['purl']}" if owner else component["purl"], **component}


def canonical(name: str) -> str:
    """A distribution's name as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def write_sbom(path: Path, name: str, version: str, components: Sequence[Json]) -> None:
    """Write the document."""
    image = {"type": "container", "bom-ref": f"image:{name}", "name": name, "version": version}
    references = {c["name"]: c["bom-ref"] for c in components if c["purl"].startswith("pkg:pypi/")}
    depends = {c["bom-ref"]: sorted(references[n] for n in c.get("needs", ()) if n in references) for c in components}
    depends[image["bom-ref"]] = sorted(c["bom-ref"] for c in components)
    listed = [{key: value for key, value in c.items() if key != "needs"} for c in components]
    content = json.dumps([image, listed, platform.machine()], sort_keys=True)
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(SPACE, content)}",
        "version": 1,
        "metadata": {
            "component": image,
            "properties": [{"name": "outrider:architecture", "value": platform.machine()}],
        },
        "components": listed,
        "dependencies": [{"ref": ref, "dependsOn": refs} for ref, refs in sorted(depends.items())],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
