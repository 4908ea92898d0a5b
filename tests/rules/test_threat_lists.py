"""The rules of the threat lists: hits for each category, and as many near misses."""

import pytest
from transcripts import at, file, pid, ran

from outrider_collector.lists.compiling import Listed, Network, compile_lists
from outrider_sidecar.intel import Intel
from outrider_wire.events import ConnectionOpened, FileHashed, NameQueried, NameResolved
from outrider_wire.listtable import Label, ListTable, domain_key, file_key, pack_address

NAMES = {
    "c2": ("Backdoor:Runtime/C&CActivity.B!DNS", "HIGH"),
    "mining": ("CryptoCurrency:Runtime/BitcoinTool.B!DNS", "HIGH"),
    "drop-point": ("Trojan:Runtime/DropPoint!DNS", "MEDIUM"),
    "blackhole": ("Trojan:Runtime/BlackholeTraffic!DNS", "MEDIUM"),
    "dga": ("Trojan:Runtime/DGADomainRequest.C!DNS", "HIGH"),
    "drive-by": ("Trojan:Runtime/DriveBySourceTraffic!DNS", "HIGH"),
    "phishing": ("Trojan:Runtime/PhishingDomainRequest!DNS", "HIGH"),
    "malicious": ("Impact:Runtime/MaliciousDomainRequest.Reputation", "MEDIUM"),
    "tor": ("Impact:Runtime/MaliciousDomainRequest.Reputation", "MEDIUM"),
}
CALLER = ("UnauthorizedAccess:Runtime/MaliciousIPCaller.Custom", "MEDIUM")
ADDRESSES = {
    "c2": ("Backdoor:Runtime/C&CActivity.B", "HIGH"),
    "mining": ("CryptoCurrency:Runtime/BitcoinTool.B", "HIGH"),
    "tor": ("UnauthorizedAccess:Runtime/TorClient", "HIGH"),
    "drop-point": ("Trojan:Runtime/DropPoint", "MEDIUM"),
    "blackhole": ("Trojan:Runtime/BlackholeTraffic", "MEDIUM"),
    **dict.fromkeys(("malicious", "phishing", "drive-by", "dga"), CALLER),
}
FILES = {
    "malicious": ("Execution:Runtime/MaliciousFileExecuted", "HIGH"),
    "c2": ("Execution:Runtime/MaliciousFileExecuted", "HIGH"),
    "mining": ("Impact:Runtime/CryptoMinerExecuted", "HIGH"),
}
CATEGORIES = list(NAMES)
TRUSTED = Label("trusted", "", 0, True)
SHA = "ab" * 32


def make_table() -> ListTable:
    """Each category with a domain, a network and a digest; one of each that is trusted, and one that ran out."""
    listed = Listed(algorithms={"sha256"})
    expired = Label("old", "c2", at(0) // 1_000_000_000 - 60)
    for number, category in enumerate(CATEGORIES):
        label = Label("feed", category)
        listed.add_domain(domain_key(f"{category}.example"), label)
        listed.add_file(file_key("sha256", f"{number:064x}"), label)
        listed.add_network(4, net(f"198.51.{number}.0", 24, label))
        listed.add_network(16, net(f"2001:db8:{number}::", 48, label))
    for name, label in {"good.c2.example": TRUSTED, "whole.example": TRUSTED, "expired.example": expired}.items():
        listed.add_domain(domain_key(name), label)
    listed.add_domain(domain_key("bad.whole.example"), Label("feed", "c2"))
    listed.add_network(4, net("198.51.0.66", 32, TRUSTED))
    listed.add_network(4, net("203.0.113.0", 24, expired))
    listed.add_file(file_key("sha256", SHA), TRUSTED)
    compiled = compile_lists(listed)
    return ListTable(compiled.table, compiled.shape)


def net(address: str, prefix: int, label: Label) -> Network:
    packed = pack_address(address)
    first = int.from_bytes(packed, "big")
    return Network(first, first | (1 << (len(packed) * 8 - prefix)) - 1, prefix, label)


@pytest.fixture
def listing(transcript):
    """A transcript whose lists are the table above, exchanged as the guard does it."""
    transcript.tell(ran(5, "/usr/bin/app"))
    transcript.world.intel = transcript.world.intel.with_table(make_table())
    return transcript


def asked(name: str) -> NameQueried:
    return NameQueried(at(200), name, "A", owner=pid(5), attribution="exact")


def opened(remote: str, direction: str = "outbound") -> ConnectionOpened:
    ends = ("10.0.0.2", 40000, remote, 443) if direction != "inbound" else (remote, 40000, "10.0.0.2", 443)
    return ConnectionOpened(at(200), *ends, direction=direction, owner=pid(5), attribution="exact")  # type: ignore[arg-type]


def hashed(digest: str, algorithm: str = "sha256") -> FileHashed:
    return FileHashed(at(200), pid(5), file("/tmp/x", changed=50), {algorithm: digest}, 7)


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_name_is_told_by_its_category(category, listing):
    """The listed domain and all below it are the finding of its category, with the list that names it."""
    assert listing.tell(asked(f"a.b.{category}.example")) == [NAMES[category]]
    assert listing.found[0].evidence["dns.category"] == category
    assert f"listed={category}.example" in listing.found[0].description
    assert category == "mining" or "list=feed" in listing.found[0].description


@pytest.mark.parametrize("name", ["example", "c2-example", "c2.example.org", "xc2.example", "good.c2.example", "a.good.c2.example", "bad.whole.example", "expired.example", "", "." * 300, "a." * 200 + "example"])  # fmt: skip  # noqa: E501
def test_other_names_are_not(name, listing):
    """Parents, names that look alike, what is trusted or below it, and what has run out raise nothing."""
    assert listing.tell(asked(name)) == []


@pytest.mark.parametrize("category", list(ADDRESSES))
@pytest.mark.parametrize("form", ["198.51.{}.9", "2001:db8:{}::9"])
def test_an_address_is_told_by_its_category(form, category, listing):
    """A connection out to an address in a listed network is the finding of its category."""
    remote = form.format(CATEGORIES.index(category))
    assert listing.tell(opened(remote)) == [ADDRESSES[category]]
    assert listing.found[0].evidence["net.category"] == category
    assert "list=feed" in listing.found[0].description


@pytest.mark.parametrize("remote", ["198.52.0.1", "198.50.255.255", "198.51.0.66", "203.0.113.9", "2001:db7::1", "127.0.0.1"])  # fmt: skip  # noqa: E501
def test_other_addresses_are_not(remote, listing):
    """Neighbours, what is trusted within a listed network, and what has run out raise nothing."""
    assert listing.tell(opened(remote)) == []


def test_who_comes_in_is_not_contacted(listing):
    """A connection from a listed address says something of the address, not of this container."""
    assert listing.tell(opened("198.51.0.9", "inbound")) == []


def test_an_answer_alone_is_no_question(listing):
    """Nor is an address that a name leads to contacted by that."""
    assert listing.tell(NameResolved(at(200), "c2.example", "A", ("198.51.0.9",))) == []


@pytest.mark.parametrize("category", list(FILES))
def test_a_file_is_told_by_its_category(category, listing):
    """The digest alone decides, and whose process it is."""
    assert listing.tell(hashed(f"{CATEGORIES.index(category):064x}")) == [FILES[category]]
    finding = listing.found[0]
    assert finding.process is not None
    assert finding.process.pid == 5
    assert "file=/tmp/x listed=sha256:" in finding.description


@pytest.mark.parametrize(("digest", "algorithm"), [(SHA, "sha256"), ("f" * 64, "sha256"), (f"{0:064x}", "md5")])
def test_other_files_are_not(digest, algorithm, listing):
    """What is trusted, what nobody listed, and a digest of another algorithm raise nothing."""
    assert listing.tell(hashed(digest, algorithm)) == []


def test_lists_are_exchanged_between_two_events(listing):
    """What was listed is no more, and what was not is, with the very next event."""
    first = listing.world.intel
    listing.world.intel = Intel({}, None)
    assert listing.tell(asked("c2.example"), opened("198.51.0.9")) == []
    listing.world.intel = first
    assert listing.tell(asked("c2.example")) == [NAMES["c2"]]


def test_repeats_are_folded_for_each_process_and_what_it_wants(listing):
    """One process that calls home each second is one finding an hour."""
    assert listing.tell(opened("198.51.0.9"), opened("198.51.0.9"), asked("c2.example"), asked("c2.example")) == [
        ADDRESSES["c2"],
        NAMES["c2"],
    ]
