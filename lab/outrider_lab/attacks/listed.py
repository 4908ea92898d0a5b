"""What threat lists are about: names, addresses and files that somebody listed, and the lists that name them.

They are no part of `ATTACKS`: they are caught only where the collector has `write_lists`' file.
"""

import hashlib
from pathlib import Path
from typing import Final

from outrider_lab.attacks.scenario import NEW_BINARY, Scenario

TRUSTED_NAME: Final = "good.c2.listed.example"
TRUSTED_ADDRESS: Final = "198.51.100.218"

_NAMES: Final = {
    "c2": "Backdoor:Runtime/C&CActivity.B!DNS",
    "drop-point": "Trojan:Runtime/DropPoint!DNS",
    "blackhole": "Trojan:Runtime/BlackholeTraffic!DNS",
    "dga": "Trojan:Runtime/DGADomainRequest.C!DNS",
    "drive-by": "Trojan:Runtime/DriveBySourceTraffic!DNS",
    "phishing": "Trojan:Runtime/PhishingDomainRequest!DNS",
    "malicious": "Impact:Runtime/MaliciousDomainRequest.Reputation",
}
_ADDRESSES: Final = {
    "c2": ("198.51.100.208/28", "198.51.100.211", "Backdoor:Runtime/C&CActivity.B"),
    "mining": ("198.51.100.202", "198.51.100.202", "CryptoCurrency:Runtime/BitcoinTool.B"),
    "tor": ("198.51.100.203", "198.51.100.203", "UnauthorizedAccess:Runtime/TorClient"),
    "drop-point": ("198.51.100.204", "198.51.100.204", "Trojan:Runtime/DropPoint"),
    "blackhole": ("198.51.100.205", "198.51.100.205", "Trojan:Runtime/BlackholeTraffic"),
    "phishing": ("198.51.100.206", "198.51.100.206", "UnauthorizedAccess:Runtime/MaliciousIPCaller.Custom"),
}
_FILES: Final = {
    "mining": ("#!/bin/sh\nsleep 0.3 # dig\n", "Impact:Runtime/CryptoMinerExecuted"),
    "malicious": ("#!/bin/sh\nsleep 0.3 # dropper\n", "Execution:Runtime/MaliciousFileExecuted"),
}
_TAIL: Final = "outrider-listed-program"
_PROGRAM: Final = Path("/bin/sleep")


def connect_to(address: str) -> str:
    """A command line that opens a connection and lives a moment longer."""
    return (
        f"{{python}} -c 'import socket, time; s = socket.socket(); s.settimeout(0.3);"
        f' print(s.connect_ex(("{address}", 4444))); time.sleep(0.2)\''
    )


LISTED: Final = (
    *(
        Scenario(
            name=f"listed-name-{category}",
            idea=f"a name below one that is listed as {category} is looked up",
            command=f"getent hosts www.{category}.listed.example",
            finding=finding,
            expect="listed.example",
        )
        for category, finding in _NAMES.items()
    ),
    *(
        Scenario(
            name=f"listed-address-{category}",
            idea=f"an address that is listed as {category}, by itself or its network, is contacted",
            command=connect_to(address),
            finding=finding,
        )
        for category, (_, address, finding) in _ADDRESSES.items()
    ),
    *(
        Scenario(
            name=f"listed-script-{category}",
            idea=f"a script whose digest is listed as {category} is written and started",
            command=f"printf '{text.encode('unicode_escape').decode()}' >/tmp/listed-{category} &&"
            f" chmod +x /tmp/listed-{category} && /tmp/listed-{category}; rm -f /tmp/listed-{category}",
            finding=finding,
            allowed=(NEW_BINARY,),
        )
        for category, (text, finding) in _FILES.items()
    ),
    Scenario(
        name="listed-program",
        idea="a program whose digest is listed is made, started, and its name taken away while it runs",
        command=f"cp {_PROGRAM} /tmp/listed-program && printf {_TAIL} >>/tmp/listed-program &&"
        " { /tmp/listed-program 0.5 & } && until [ /proc/$!/exe -ef /tmp/listed-program ]; do sleep 0.01; done;"
        " rm -f /tmp/listed-program; wait $!",
        finding="Execution:Runtime/MaliciousFileExecuted",
        allowed=(NEW_BINARY, "DefenseEvasion:Runtime/FilelessExecution"),
    ),
)

UNLISTED: Final = (
    Scenario(
        name="unlisted-names",
        idea="names beside and above listed ones, and one that is trusted below a listed one, are looked up",
        command=f"getent hosts c2-listed.example; getent hosts listed.example; getent hosts {TRUSTED_NAME}",
        expect="good.c2.listed.example",
    ),
    Scenario(
        name="unlisted-addresses",
        idea="an address beside a listed one, and one that is trusted within a listed network, are contacted",
        command=f"{connect_to('198.51.100.207')} && {connect_to(TRUSTED_ADDRESS)}",
    ),
    Scenario(
        name="unlisted-script",
        idea="a script that is listed but for one letter is written and started",
        command="printf '#!/bin/sh\\nsleep 0.3 # digs\\n' >/tmp/unlisted && chmod +x /tmp/unlisted && /tmp/unlisted;"
        " rm -f /tmp/unlisted",
        allowed=(NEW_BINARY,),
    ),
)
"""The twins: nothing of a list is found about them."""


def write_lists(folder: Path) -> Path:
    """Write lists that name all of the above into a folder; the file of sources for the collector."""
    tables = [_source(folder, category, [f"{category}.listed.example"], "names") for category in _NAMES]
    tables += [_source(folder, category, [network], "addresses") for category, (network, _, _) in _ADDRESSES.items()]
    program = hashlib.sha256(_PROGRAM.read_bytes() + _TAIL.encode()).hexdigest()
    for category, (text, _) in _FILES.items():
        digests = [hashlib.sha256(text.encode()).hexdigest(), *([program] if category == "malicious" else [])]
        tables.append(_source(folder, category, digests, "files"))
    tables.append(_source(folder, "good", [TRUSTED_NAME, TRUSTED_ADDRESS], "trusted", trusted=True))
    return write_sources(folder, tables)


def write_sources(folder: Path, tables: list[str]) -> Path:
    """The file of sources, replaced at one stroke."""
    draft = folder / "lists.toml.new"
    draft.write_text("".join(tables))
    return draft.replace(folder / "lists.toml")


def _source(folder: Path, category: str, entries: list[str], what: str, *, trusted: bool = False) -> str:
    path = folder / f"{what}-{category}.txt"
    path.write_text("\n".join(entries) + "\n")
    said = "trusted = true" if trusted else f'category = "{category}"'
    return f'[[list]]\nname = "{what}-{category}"\nfrom = "{path}"\n{said}\n'
