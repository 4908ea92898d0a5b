"""Merging: an hour's small files become one, and no reader of ours sees a record twice or misses one."""

from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest
from lake_stories import NOON_NS, Teller, lake_files, read_records, story

from outrider_collector.lake.classes import PROCESS_ACTIVITY
from outrider_collector.lake.counting import all_count
from outrider_collector.lake.following import Follower
from outrider_collector.lake.layout import read_paths, standing
from outrider_collector.lake.merging import SETTLED_MS, find_merges
from outrider_collector.lake.places import LocalLake
from outrider_collector.lake.reading import Reading, find_files, span_of_day
from outrider_collector.lake.writer import LakeWriter
from outrider_collector.spool import Spool

NOON_MS = NOON_NS // 10**6
SINCE_MS, UNTIL_MS = span_of_day(NOON_MS)
FLUSHES = 4


@pytest.fixture
def written(tmp_path: Path, spool: Spool) -> tuple[LocalLake, LakeWriter]:
    """A lake of several flushes within an hour."""
    lake = LocalLake(tmp_path / "lake")
    teller = Teller(spool, 1)
    for number in range(FLUSHES):
        teller.tell(story(1, NOON_NS, first_pid=100 + 10 * number))
        writer = Follower(lake, tmp_path / "spool", "one", all_count).catch_up()
    return lake, writer


def uids(lake: LocalLake) -> Counter[str]:
    """How often our reader sees each record."""
    reading = Reading(lake, SINCE_MS, UNTIL_MS)
    views = ("process", "file", "module", "network", "dns", "finding", "sensor")
    rows = [row[0] for view in views for row in reading.ask(f"SELECT metadata.uid FROM {view}").rows]
    reading.close()
    return Counter(rows)


def test_an_hour_that_is_over_becomes_one_file_of_each_class(written: tuple[LocalLake, LakeWriter]) -> None:
    """With the same records, sorted anew; not before it is over, and not again."""
    lake, writer = written
    before = uids(lake)
    assert len(find_files(lake, PROCESS_ACTIVITY, SINCE_MS, UNTIL_MS)) == FLUSHES
    assert list(find_merges(lake, "one", NOON_MS + SETTLED_MS - 1)) == []
    assert list(find_merges(lake, "two", NOON_MS + SETTLED_MS)) == []
    for planned in find_merges(lake, "one", NOON_MS + SETTLED_MS):
        writer.merge(planned)
    assert len(lake_files(Path(lake.root))) == 6
    assert uids(lake) == before and set(before.values()) == {1}
    times = [record["time"] for record in read_records(Path(lake.root)) if record["class_uid"] == 1007]
    assert times == sorted(times)
    assert list(find_merges(lake, "one", NOON_MS + SETTLED_MS)) == []


@pytest.mark.parametrize("step", range(8))
def test_a_death_at_each_step_of_a_merge_is_made_good(
    tmp_path: Path, written: tuple[LocalLake, LakeWriter], step: int
) -> None:
    """Whatever was put or removed last, our reader sees each record once, then and after the next start."""
    lake, writer = written
    before = uids(lake)
    planned = next(find_merges(lake, "one", NOON_MS + SETTLED_MS))
    dying = DyingLake(tmp_path / "lake", step)
    writer._lake = dying
    with pytest.raises(Died) if step < 7 else nullcontext():
        writer.merge(planned)
    assert uids(lake) == before
    record = Follower(lake, tmp_path / "spool", "one", all_count).catch_up().record
    assert uids(lake) == before and record.merge is None
    if step > 0:
        assert (tmp_path / "lake" / planned.target).exists()
        assert not any((tmp_path / "lake" / path).exists() for path in planned.sources)


def test_a_big_file_is_left_and_parts_what_is_merged(
    written: tuple[LocalLake, LakeWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merged file's range takes in no file that it was not made of."""
    lake, _ = written
    files = sorted(find_files(lake, PROCESS_ACTIVITY, SINCE_MS, UNTIL_MS), key=lambda each: each.first)
    big = Path(lake.root, files[1].path)
    monkeypatch.setattr("outrider_collector.lake.merging.SMALL_BYTES", big.stat().st_size + 1000)
    big.write_bytes(big.read_bytes() + bytes(2000))
    merges = [each for each in find_merges(lake, "one", NOON_MS + SETTLED_MS) if "process" in each.target]
    assert [each.sources for each in merges] == [(files[2].path, files[3].path)]


def test_a_file_stands_unless_another_has_its_range() -> None:
    """Only of the same collector, class and hour."""
    day = "ext/outrider-dns/region=unknown/accountId=000000000000/eventDay=20260102"
    small = [f"{day}/15-one-00000001.{n:010d}-00000001.{n + 1:010d}.parquet" for n in range(3)]
    merged = f"{day}/15-one-00000001.0000000000-00000001.0000000002.parquet"
    others = [merged.replace("one", "two-2"), merged.replace("/15-", "/16-"), merged.replace("dns", "file")]
    assert [each.path for each in standing(read_paths([*small, merged]))] == [merged, small[2]]
    assert len(standing(read_paths([*small, merged, *others]))) == 5
    assert read_paths(["x", f"{day}/15-half.parquet", f"{day}/.{small[0][-20:]}.part"]) == []


class Died(Exception):
    """The writer's end."""


class DyingLake(LocalLake):
    """A lake whose writer dies before its nth change."""

    def __init__(self, directory: Path, at: int) -> None:
        super().__init__(directory)
        self._left = at

    def put(self, path: str, data: object) -> None:
        self._change()
        super().put(path, data)

    def remove(self, path: str) -> None:
        self._change()
        super().remove(path)

    def _change(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Died
