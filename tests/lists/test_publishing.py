"""Publishing: sources to a document in the store, on both databases, whatever becomes of a source or a collector."""

import json
import stat
from pathlib import Path

import pytest
from sqlalchemy import Engine

from outrider_collector.lists.fetching import Fetched
from outrider_collector.lists.gathering import Gatherer, show_place
from outrider_collector.lists.keys import load_list_key
from outrider_collector.lists.publishing import Publisher
from outrider_collector.lists.sources import Source, load_sources
from outrider_collector.store.database import open_database
from outrider_wire.errors import ConfigError
from outrider_wire.lists import open_lists
from outrider_wire.listtable import ListTable
from outrider_wire.signing import SigningKey

KEY = SigningKey.from_seed(bytes(32))


@pytest.fixture
def engine(store_url: str, tmp_path: Path) -> Engine:
    return open_database(store_url or tmp_path / "lists.sqlite")


class Feeds:
    """Sources in memory: a place and its bytes, or the fault that it has now."""

    def __init__(self) -> None:
        self.places: dict[str, bytes | Exception] = {}

    def fetch(self, source: Source, place: str, mark: str) -> Fetched:
        del source
        found = self.places[place]
        if isinstance(found, Exception):
            raise found
        now = str(hash(found))
        return Fetched(None if mark == now else found, now)


@pytest.fixture
def feeds() -> Feeds:
    return Feeds()


def write(folder: Path, *tables: dict[str, object]) -> Path:
    """A file of sources."""
    path = folder / "lists.toml"
    text = "".join(
        "[[list]]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items()) for table in tables
    )
    path.write_text(text)
    return path


def source(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "from": f"https://lists.example/{name}?key=secret", **more}


def place(name: str) -> str:
    return f"https://lists.example/{name}?key=secret"


def publisher(engine: Engine, file: Path, feeds: Feeds, key: SigningKey = KEY) -> Publisher:
    return Publisher(engine, key, file, gatherer=Gatherer(fetch=feeds.fetch))


def table_of(one: Publisher) -> ListTable:
    notice = one.notice()
    assert notice is not None
    data = one.document(notice.digest)
    assert data is not None
    assert len(data) == notice.size
    return open_lists(data, KEY.public).table


def test_a_change_is_a_new_version_and_nothing_else_is(engine, tmp_path, feeds):
    """The same lists keep their document; other lists have one with a greater version, and the old can still be had."""
    one = publisher(engine, write(tmp_path, source("a", category="c2")), feeds)
    feeds.places[place("a")] = b"evil.example\n"
    one.refresh()
    first = one.notice()
    one.refresh()
    assert one.notice() == first
    assert table_of(one).find_domain("evil.example").category == "c2"
    feeds.places[place("a")] = b"other.example\nnonsense\n"
    state = one.refresh()
    second = one.notice()
    assert first is not None
    assert second is not None
    assert second.version > first.version
    assert table_of(one).find_domain("evil.example") is None
    assert one.document(first.digest) is not None
    assert one.document("0" * 64) is None
    assert (state.sources[0].entries, state.sources[0].skipped) == (1, {"no domain": 1})
    assert state.sources[0].place == "https://lists.example/a"


def test_a_source_that_is_out_stays_as_it_was(engine, tmp_path, feeds):
    """Also after a restart of the collector; and what is wrong is told."""
    file = write(tmp_path, source("a", category="c2"), source("b", category="tor"))
    feeds.places = {place("a"): b"evil.example\n", place("b"): b"198.51.100.0/24\n"}
    publisher(engine, file, feeds).refresh()
    feeds.places[place("a")] = OSError("no route")
    feeds.places[place("b")] = b"198.51.100.0/25\n"
    again = publisher(engine, file, feeds)
    again.take_over()
    state = again.refresh()
    assert table_of(again).find_domain("evil.example").category == "c2"
    assert table_of(again).find_address("198.51.100.200") is None
    assert [each.error for each in state.sources] == ["no route", ""]


def test_a_source_that_is_named_no_more_is_gone(engine, tmp_path, feeds):
    """And when the last has gone, an empty document takes everything back."""
    feeds.places = {place("a"): b"evil.example\n"}
    one = publisher(engine, write(tmp_path, source("a")), feeds)
    one.refresh()
    write(tmp_path)
    one.refresh()
    assert len(table_of(one)) == 0


def test_without_lists_nothing_is_announced(engine, tmp_path, feeds):
    """No file, or one that names nothing, is no document."""
    one = publisher(engine, write(tmp_path), feeds)
    one.refresh()
    assert one.notice() is None


def test_a_file_of_sources_that_is_broken_changes_nothing(engine, tmp_path, feeds):
    """What is in force stays, and the fault is told."""
    feeds.places = {place("a"): b"evil.example\n"}
    file = write(tmp_path, source("a"))
    one = publisher(engine, file, feeds)
    one.refresh()
    before = one.notice()
    file.write_text("[[list]\n")
    assert "lists.toml" in one.refresh().error
    assert one.notice() == before


def test_collectors_that_share_a_store_announce_the_same(engine, tmp_path, feeds):
    """Who finds the same lists takes the other's document; who has none of its own announces it too."""
    feeds.places = {place("a"): b"evil.example\n"}
    file = write(tmp_path, source("a"))
    one, other = publisher(engine, file, feeds), publisher(engine, file, feeds)
    bare = Publisher(engine, KEY, None)
    one.refresh()
    other.refresh()
    bare.take_over()
    assert one.notice() == other.notice() == bare.notice()


def test_a_store_of_another_key_is_told_and_replaced(engine, tmp_path, feeds):
    """Nothing of it is announced; our own document comes above it."""
    feeds.places = {place("a"): b"evil.example\n"}
    file = write(tmp_path, source("a"))
    publisher(engine, file, feeds, SigningKey.generate()).refresh()
    one = publisher(engine, file, feeds)
    one.take_over()
    assert one.notice() is None
    assert "not of this list key" in one.state.error
    one.refresh()
    assert table_of(one).find_domain("evil.example") is not None


def test_the_key_is_made_once_and_private(tmp_path):
    """The first start makes it, 0600; one that was given is used; one that is none is refused."""
    key = load_list_key(tmp_path)
    assert stat.S_IMODE((tmp_path / "list-key").stat().st_mode) == 0o600
    assert load_list_key(tmp_path).public == key.public
    assert load_list_key(tmp_path / "other", tmp_path / "list-key").public == key.public
    (tmp_path / "bad").write_text("x")
    with pytest.raises(ConfigError, match="cannot be used"):
        load_list_key(tmp_path, tmp_path / "bad")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"from": "http://lists.example/a"}, "neither a file nor https"),
        ({"from": "file:///etc/passwd"}, "neither a file nor https"),
        ({"format": "csv"}, "needs `column`"),
        ({"category": "C2!"}, "a category is a word"),
        ({"category": "trusted"}, "trusted = true"),
        ({"name": "a b"}, "a name is"),
        ({"colum": "x"}, "colum"),
        ({"format": "yaml"}, "yaml"),
        ({"expires_after_days": -1}, "less than 0"),
    ],
)
def test_a_source_that_makes_no_sense_is_refused(changes, said, tmp_path):
    """With its name and what is wrong with it."""
    with pytest.raises(ConfigError, match=said):
        load_sources(write(tmp_path, source("a") | changes))


def test_a_place_is_shown_without_its_secrets():
    """A key in an address stays there."""
    assert show_place("https://me:pw@lists.example/a?key=x") == "https://lists.example/a"
    assert show_place("/etc/list") == "/etc/list"
