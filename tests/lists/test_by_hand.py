"""Lists by hand: beside sources, shared through the store, and refused where they make no sense; on both databases."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from outrider_collector.lists.by_hand import read_values
from outrider_collector.lists.fetching import Fetched
from outrider_collector.lists.gathering import Gatherer
from outrider_collector.lists.publishing import Publisher
from outrider_collector.lists.sources import Source
from outrider_collector.store import list_entries
from outrider_collector.store.database import open_database, writing
from outrider_collector.store.list_entries import ListEntry, entries_mark, load_entries, remove_entries, save_entries
from outrider_wire.lists import open_lists
from outrider_wire.listtable import Label, ListTable
from outrider_wire.signing import SigningKey

KEY = SigningKey.from_seed(bytes(32))
DAY_NS = 86_400 * 10**9
NOW_NS = 20_000 * DAY_NS


@pytest.fixture
def engine(store_url: str, tmp_path: Path) -> Engine:
    return open_database(store_url or tmp_path / "lists.sqlite")


def entry(value: str, category: str = "c2", **changes: object) -> ListEntry:
    ((kind, normal),) = read_values([value])
    given = {"list": "ours", "trusted": not category, "expires_at_ns": 0, "made_at_ns": NOW_NS, "who": "me", "why": ""}
    return ListEntry(**{**given, "kind": kind, "value": normal, "category": category, **changes})  # type: ignore[arg-type]


def save(engine: Engine, *entries: ListEntry) -> None:
    with writing(engine) as connection:
        save_entries(connection, [*entries], now_ns=NOW_NS)


def drop(engine: Engine, *values: str) -> None:
    with writing(engine) as connection:
        assert remove_entries(connection, [entry(value).key for value in values])


def publisher(engine: Engine, feed: Path | None = None, *, reads: list[str] | None = None) -> Publisher:
    """A collector's publisher; `feed` is its file of sources, `reads` is told of each reading of one."""

    def fetch(source: Source, place: str, mark: str) -> Fetched:
        if reads is not None:
            reads.append(place)
        return Fetched(Path(place).read_bytes(), "")

    return Publisher(engine, KEY, feed, gatherer=Gatherer(fetch=fetch), clock_ns=lambda: NOW_NS)


def sources(folder: Path, name: str, text: str) -> Path:
    """A file with one source of c2 entries."""
    (folder / f"{name}.txt").write_text(text)
    file = folder / f"{name}.toml"
    file.write_text(f'[[list]]\nname = "{name}"\nfrom = {json.dumps(str(folder / f"{name}.txt"))}\ncategory = "c2"\n')
    return file


def table_of(one: Publisher) -> ListTable:
    notice = one.notice()
    assert notice is not None
    data = one.document(notice.digest)
    assert data is not None
    return open_lists(data, KEY.public).table


def category_of(table: ListTable, name: str) -> str | None:
    label = table.find_domain(name)
    return None if label is None else label.category


def address_label(table: ListTable, address: str) -> Label:
    hit = table.find_address(address)
    assert hit is not None
    return hit.label


def test_what_is_listed_by_hand_is_in_force_beside_sources(engine: Engine, tmp_path: Path) -> None:
    """Under a name of its own, and gone when it is taken off; the source is not read again for that."""
    reads: list[str] = []
    one = publisher(engine, sources(tmp_path, "feed", "evil.example\n"), reads=reads)
    one.refresh()
    save(engine, entry("worse.example", "mining"), entry("198.51.100.0/24"), entry("ab" * 32))
    state = one.refresh(anew=False)
    table = table_of(one)
    assert (category_of(table, "evil.example"), category_of(table, "worse.example")) == ("c2", "mining")
    assert address_label(table, "198.51.100.7") == Label("hand:ours", "c2")
    assert (table.shape.files, table.shape.algorithms) == (1, ("sha256",))
    assert [(each.name, each.entries) for each in state.sources] == [("feed", 1), ("hand:ours", 3)]
    drop(engine, "worse.example", "198.51.100.0/24", "ab" * 32)
    assert [each.name for each in one.refresh(anew=False).sources] == ["feed"]
    assert (category_of(table_of(one), "worse.example"), len(table_of(one))) == (None, 1)
    assert len(reads) == 1


def test_trust_by_hand_silences_a_source(engine: Engine, tmp_path: Path) -> None:
    """And the source's entry counts again when the trust is taken away."""
    one = publisher(engine, sources(tmp_path, "feed", "evil.example\n"))
    save(engine, entry("evil.example", ""))
    one.refresh()
    found = table_of(one).find_domain("evil.example")
    assert found is not None and found.trusted
    drop(engine, "evil.example")
    one.refresh()
    assert category_of(table_of(one), "evil.example") == "c2"


def test_an_entry_runs_out(engine: Engine) -> None:
    """Its end goes to the sidecars; from the day after it is in no document, and the next change forgets it."""
    save(engine, entry("soon.example", expires_at_ns=NOW_NS + 1), entry("old.example", expires_at_ns=NOW_NS - DAY_NS))
    one = publisher(engine)
    one.refresh()
    found = table_of(one).find_domain("soon.example")
    assert found is not None and found.expires_at_s == NOW_NS // 10**9 + 1
    assert category_of(table_of(one), "old.example") is None
    save(engine, entry("new.example"))
    with engine.connect() as connection:
        assert [each.value for each in load_entries(connection)] == ["soon.example", "new.example"]


def test_a_collector_without_sources_takes_none_off(engine: Engine, tmp_path: Path) -> None:
    """It puts what is listed by hand over what another one's sources list; both end with the same document."""
    file = sources(tmp_path, "feed", "evil.example\n198.51.100.0/24\n")
    one, bare = publisher(engine, file), publisher(engine)
    one.refresh()
    save(engine, entry("worse.example"), entry("198.51.100.128/25", ""))
    for each in (bare, one, bare):
        each.take_over()
        each.refresh(anew=False)
    assert one.notice() == bare.notice()
    assert category_of(table_of(bare), "evil.example") == category_of(table_of(bare), "worse.example") == "c2"
    assert not address_label(table_of(bare), "198.51.100.1").trusted
    assert address_label(table_of(bare), "198.51.100.200").trusted
    drop(engine, "worse.example", "198.51.100.128/25")
    for each in (bare, one, bare):
        each.take_over()
        each.refresh(anew=False)
    assert one.notice() == bare.notice()
    assert not address_label(table_of(bare), "198.51.100.200").trusted


def test_what_is_put_in_force_upon_is_the_newest(engine: Engine, tmp_path: Path) -> None:
    """A collector without sources that missed a document does not bring the one before back."""
    bare = publisher(engine)
    save(engine, entry("worse.example"))
    bare.refresh()
    one = publisher(engine, sources(tmp_path, "feed", "evil.example\n"))
    one.take_over()
    one.refresh()
    save(engine, entry("worst.example"))
    before = bare.notice()
    bare.refresh()
    assert bare.notice() == before
    bare.take_over()
    bare.refresh()
    assert category_of(table_of(bare), "evil.example") == category_of(table_of(bare), "worst.example") == "c2"


def test_a_file_of_sources_that_breaks_holds_nothing_up(engine: Engine, tmp_path: Path) -> None:
    """What is listed by hand is put in force, what the file named stays, and the fault is told."""
    file = sources(tmp_path, "feed", "evil.example\n")
    one = publisher(engine, file)
    one.refresh()
    file.write_text("[[list]\n")
    save(engine, entry("worse.example"))
    state = one.refresh()
    assert "feed.toml" in state.error and [each.name for each in state.sources] == ["feed", "hand:ours"]
    assert category_of(table_of(one), "evil.example") == category_of(table_of(one), "worse.example") == "c2"


def test_lists_by_hand_outlive_a_collector(engine: Engine) -> None:
    """The next one announces them at once; and the last that is taken off takes all back."""
    save(engine, entry("worse.example"))
    publisher(engine).refresh()
    again = publisher(engine)
    again.take_over()
    assert category_of(table_of(again), "worse.example") == "c2"
    drop(engine, "worse.example")
    again.refresh()
    assert len(table_of(again)) == 0


def test_every_change_is_seen(engine: Engine) -> None:
    """The mark is another after an entry is added, changed or taken off, and the same while nothing is."""
    marks = []
    for change in (
        lambda: None,
        lambda: save(engine, entry("a.example"), entry("b.example")),
        lambda: save(engine, entry("a.example", "tor")),
        lambda: drop(engine, "b.example"),
        lambda: save(engine, entry("b.example")),
        lambda: drop(engine, "a.example"),
    ):
        change()
        with engine.connect() as connection:
            marks.append(entries_mark(connection))
            assert entries_mark(connection) == marks[-1]
    assert len(set(marks)) == len(marks)


def test_there_is_room_for_so_many(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused and nothing of the request is kept; changing what is there takes no room."""
    monkeypatch.setattr(list_entries, "MAX_ENTRIES", 2)
    save(engine, entry("a.example"), entry("b.example"))
    with pytest.raises(ValueError, match="at most 2 entries"):
        save(engine, entry("a.example", "tor"), entry("c.example"))
    save(engine, entry("b.example", "tor"))
    with engine.connect() as connection:
        found = {each.value: each.category for each in load_entries(connection)}
    assert found == {"a.example": "c2", "b.example": "tor"}


def test_values_are_read_as_of_feeds_and_told_where_they_are_none() -> None:
    """Defanged names, URLs and addresses are understood, repeats are one; what is nothing is told with its place."""
    read = read_values(["hxxp://Evil[.]example/x", "evil.example", "198.51.100.7", "2001:db8::/32", "AB" * 16])
    assert read == [
        ("domain", "evil.example"),
        ("network", "198.51.100.7/32"),
        ("network", "2001:db8::/32"),
        ("md5", "ab" * 16),
    ]
    with pytest.raises(ValueError, match=r"give a domain.*values\[1\] 'no name': no domain; values\[2\] '0.0.0.0/0'"):
        read_values(["evil.example", "no name", "0.0.0.0/0"])
