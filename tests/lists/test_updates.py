"""The sidecar's side: what is announced is fetched, verified, kept; what is forged is refused, and told of once."""

from pathlib import Path

import pytest

from outrider_collector.lists.compiling import Listed, compile_lists
from outrider_sidecar.lists.updates import REFUSED_WAIT_S, ListUpdates
from outrider_wire.enrolment import EnrolAnswer, Receipt
from outrider_wire.errors import DeliveryError, WireError
from outrider_wire.lists import ListsNotice, seal_lists
from outrider_wire.listtable import Label, ListTable, domain_key
from outrider_wire.signing import SigningKey

KEY = SigningKey.from_seed(bytes(32))
OTHER = SigningKey.from_seed(bytes(range(32)))


def document(name: str, version: int, key: SigningKey = KEY) -> tuple[bytes, ListsNotice]:
    listed = Listed()
    listed.add_domain(domain_key(name), Label("feed", "c2"))
    compiled = compile_lists(listed)
    return seal_lists(key, compiled.table, compiled.shape, version=version)


class Side:
    """The updates of one sidecar, a collector in memory, and a clock that is moved by hand."""

    def __init__(self, directory: Path, **more: object) -> None:
        self.documents: dict[str, bytes | Exception] = {}
        self.tables: list[ListTable] = []
        self.told: list[str] = []
        self.asked = 0
        self.now_s = 0.0
        self.updates = ListUpdates(
            directory, self, take=self.tables.append, tell=self.told.append, jitter=lambda: 0.0,
            clock_s=lambda: self.now_s, **more,
        )  # type: ignore[arg-type]  # fmt: skip

    def fetch_lists(self, notice: ListsNotice) -> bytes:
        self.asked += 1
        found = self.documents.get(notice.digest, DeliveryError("not found", refused=True))
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        """Nothing is open."""

    def enrol(self, key: bytes = KEY.public) -> None:
        self.updates.pin(EnrolAnswer("a", True, "enrolled", 0, key))

    def announce(self, data: bytes | Exception, notice: ListsNotice) -> None:
        self.documents[notice.digest] = data
        self.hear(notice)

    def hear(self, notice: ListsNotice | None) -> None:
        self.updates.hear(Receipt("a", 1, lists=notice))
        self.updates.turn()

    @property
    def listed(self) -> list[str]:
        names = ("one.example", "two.example", "evil.example")
        return [name for name in names if self.tables and self.tables[-1].find_domain(name)]


@pytest.fixture
def side(tmp_path: Path) -> Side:
    made = Side(tmp_path)
    made.enrol()
    made.announce(*document("one.example", 10))
    assert made.listed == ["one.example"]
    return made


def test_a_newer_document_takes_the_place(side):
    """It is fetched once, and the same notice again asks for nothing."""
    data, notice = document("two.example", 11)
    side.announce(data, notice)
    side.hear(notice)
    side.hear(None)
    assert (side.listed, side.asked, side.told) == (["two.example"], 2, [])


def test_what_was_taken_outlives_a_restart(side, tmp_path):
    """Key, version and document are kept beside the journal, for the sidecar alone, and are verified anew."""
    again = Side(tmp_path)
    again.updates.recall()
    assert (again.listed, again.updates.version) == (["one.example"], 10)
    assert (tmp_path / "lists").stat().st_mode & 0o077 == 0
    again.announce(*document("evil.example", 9))
    assert again.asked == 0


def test_a_damaged_file_is_as_none_and_comes_again(side, tmp_path):
    """The version that was known can be fetched again; an older one still cannot."""
    (tmp_path / "lists").write_bytes(b"ORL1 nonsense")
    again = Side(tmp_path)
    again.updates.recall()
    assert again.tables == []
    again.announce(*document("evil.example", 9))
    assert (again.tables, len(again.told)) == ([], 1)
    again.announce(*document("one.example", 10))
    assert again.listed == ["one.example"]


def forgeries() -> dict[str, tuple[bytes | Exception, ListsNotice]]:
    good, notice = document("evil.example", 20)
    by_other, _ = document("evil.example", 20, OTHER)
    old, _ = document("evil.example", 5)
    return {
        "another key": (by_other, document("evil.example", 20, OTHER)[1]),
        "another document under the name": (document("two.example", 21)[0], notice),
        "older than announced": (old, ListsNotice(20, document("evil.example", 5)[1].digest, len(old))),
        "cut": (good[:-3], notice),
        "changed": (good[:-1] + bytes([good[-1] ^ 1]), notice),
        "longer than announced": (WireError("too-large", "longer than announced"), notice),
        "nothing": (b"", notice),
    }


@pytest.mark.parametrize("kind", forgeries())
def test_a_forged_list_is_refused_and_told_once(kind, side):
    """What is in force stays; it is not asked for again at once; and the next good one is taken."""
    data, notice = forgeries()[kind]
    side.announce(data, notice)
    side.hear(notice)
    assert (side.listed, len(side.told), side.asked) == (["one.example"], 1, 2)
    assert "refused" in side.told[0]
    side.now_s += REFUSED_WAIT_S + 1
    side.updates.turn()
    assert (side.asked, len(side.told)) == (3, 1)
    side.announce(*document("two.example", 30))
    assert side.listed == ["two.example"]


def test_the_first_key_counts(side, tmp_path):
    """A collector that shows another key later is told of, and its lists are not taken."""
    again = Side(tmp_path)
    again.enrol(OTHER.public)
    again.announce(*document("evil.example", 20, OTHER))
    assert again.tables == []
    assert "another list key" in again.told[0]


def test_a_key_of_the_settings_comes_before_any(tmp_path):
    """It is pinned before any collector spoke."""
    side = Side(tmp_path, key=KEY.public)
    side.enrol(OTHER.public)
    side.announce(*document("evil.example", 20, OTHER))
    side.announce(*document("one.example", 21))
    assert side.listed == ["one.example"]


def test_without_a_key_nothing_is_taken(tmp_path):
    """A collector that announces lists and showed no key is told of."""
    side = Side(tmp_path)
    side.announce(*document("one.example", 1))
    assert (side.asked, len(side.told)) == (0, 1)


def test_what_is_not_there_yet_is_asked_for_again(side):
    """Another collector may be a moment behind: that is no fault to be told of."""
    data, notice = document("two.example", 11)
    side.hear(notice)
    assert (side.listed, side.told) == (["one.example"], [])
    side.documents[notice.digest] = data
    side.now_s += 60.0
    side.updates.turn()
    assert side.listed == ["two.example"]


def test_a_list_that_is_too_long_for_this_sidecar_is_refused(tmp_path):
    """The bound is the sidecar's own, whatever is signed."""
    side = Side(tmp_path, max_table_bytes=10)
    side.enrol()
    side.announce(*document("one.example", 1))
    assert side.tables == []
    assert "too-large" in side.told[0]
