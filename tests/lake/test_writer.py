"""The writer: whole files in Security Lake's layout, once each, whenever it dies."""

import contextlib
import gc
import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from lake_stories import NOON_NS, Died, DyingLake, Teller, found, lake_files, story

from outrider_collector.lake.classes import BY_UID, CLASSES
from outrider_collector.lake.counting import all_count
from outrider_collector.lake.following import Follower
from outrider_collector.lake.layout import day_of, read_path
from outrider_collector.lake.nesting import nested_schema
from outrider_collector.lake.places import LocalLake, open_lake
from outrider_collector.lake.record import load_record
from outrider_collector.lake.retention import remove_expired
from outrider_collector.lake.starting import lake_reached
from outrider_collector.lake.writer import Limits
from outrider_collector.spool import Frame, Spool
from outrider_wire.errors import ConfigError
from outrider_wire.events import ProcessId, ProcessReleased

HOUR_NS = 3600 * 10**9


def follower(tmp_path: Path, *, limits: Limits | None = None) -> Follower:
    """A follower of the test's spool into the test's lake, for which every batch counts."""
    lake = LocalLake(tmp_path / "lake")
    return Follower(lake, tmp_path / "spool", "one", all_count, limits=limits, progress=tmp_path / "reached")


def identities(lake: Path) -> Counter[str]:
    """How often each record is in the lake; every column of every file is read."""
    read = [pq.ParquetFile(path).read().column("metadata").combine_chunks() for path in lake_files(lake)]
    return Counter(uid for metadata in read for uid in metadata.field("uid").to_pylist())


def test_files_lie_where_security_lake_looks(tmp_path: Path, spool: Spool) -> None:
    """By source, region, account and day; the hour first in the name; all columns of the class in each."""
    teller = Teller(spool, 1)
    teller.tell(story(1, NOON_NS), [found(1, NOON_NS)])
    teller.tell(story(1, NOON_NS + HOUR_NS, first_pid=200), at_ns=NOON_NS + HOUR_NS)
    follower(tmp_path).catch_up()
    paths = [str(path.relative_to(tmp_path / "lake")) for path in lake_files(tmp_path / "lake")]
    assert len(paths) == 2 * 6 + 1
    for path in paths:
        said = read_path(path)
        assert (said.region, said.account, said.day) == ("eu-west-1", "123456789012", day_of(NOON_NS // 10**6))
        table = pq.ParquetFile(tmp_path / "lake" / path).read()
        (lake_class,) = {BY_UID[uid].uid for uid in table.column("class_uid").to_pylist()}
        assert BY_UID[lake_class].source == said.source
        assert table.schema == nested_schema(BY_UID[lake_class].columns)
        times = table.column("time").to_pylist()
        assert times == sorted(times)
        assert {(at - said.start_ms) // 3_600_000 for at in times} == {0}
    assert {read_path(path).source for path in paths} == {each.source for each in CLASSES}
    assert {read_path(path).start_ms % 86_400_000 // 3_600_000 for path in paths} == {12, 13}


def test_files_hold_to_security_lakes_limits(tmp_path: Path, spool: Spool) -> None:
    """Zstandard; a row group for each task that is big enough, told by its statistics; bounded pages."""
    for number in (1, 2):
        released = [
            ProcessReleased(NOON_NS + n, ProcessId(n, n), "x" * 20_000 if n % 200 == 0 else "x") for n in range(20_000)
        ]
        Teller(spool, number).tell(released)
    follower(tmp_path).catch_up()
    (path,) = lake_files(tmp_path / "lake")
    facts = pq.ParquetFile(path).metadata
    groups = [facts.row_group(number) for number in range(facts.num_row_groups)]
    assert [group.num_rows for group in groups] == [20_000, 20_000]
    columns = [[group.column(n) for n in range(group.num_columns)] for group in groups]
    assert {column.compression for group in columns for column in group} == {"ZSTD"}
    tasks = [c.statistics for group in columns for c in group if c.path_in_schema == "unmapped.task_arn"]
    assert [each.min for each in tasks] == [each.max for each in tasks] and tasks[0].min < tasks[1].min
    raw = next(c for c in columns[0] if c.path_in_schema == "raw_data")
    assert raw.total_uncompressed_size > 2 << 20, "too little to say anything about pages"
    assert max(page_sizes(path, raw)) <= 1 << 20


def page_sizes(path: Path, column: pq.ColumnChunkMetaData) -> Iterator[int]:
    """The uncompressed sizes of a column's data pages: fields 2 and 3 of each Thrift compact page header."""
    with open(path, "rb") as file:
        at, end = column.data_page_offset, column.data_page_offset + column.total_compressed_size
        while at < end:
            file.seek(at)
            head = file.read(4096)
            numbers, used = [], 0
            for _ in range(3):
                assert head[used] == 0x15, "a field of 32 bits that follows the one before"
                number, used = _varint(head, used + 1)
                numbers.append(number >> 1 ^ -(number & 1))
            yield numbers[1]
            at += numbers[2] + _header_length(head)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (raw[at] & 0x7F) << shift
        shift += 7
        at += 1
        if raw[at - 1] < 0x80:
            return value, at


def _header_length(head: bytes) -> int:
    """Where the compressed bytes begin: at Zstandard's magic number."""
    return head.index(b"\x28\xb5\x2f\xfd")


def test_what_was_spooled_twice_is_taken_as_the_judge_says(tmp_path: Path, spool: Spool) -> None:
    """A copy that does not count is passed over, and a batch that is not judged yet waits."""
    teller = Teller(spool, 1)
    sealed = teller.seal(story(1, NOON_NS))
    spool.append([(NOON_NS, sealed), (NOON_NS, sealed), (NOON_NS, teller.seal(story(1, NOON_NS, first_pid=300)))])

    def judge(frames: Sequence[Frame]) -> list[tuple[Frame, bool]]:
        return [(frame, frame.place.offset == 0) for frame in frames if frame.place.offset < 2 * len(sealed)]

    writer = Follower(LocalLake(tmp_path / "lake"), tmp_path / "spool", "one", judge).catch_up()
    assert set(identities(tmp_path / "lake").values()) == {1}
    assert len(identities(tmp_path / "lake")) == len(story(1, NOON_NS))
    assert writer.record.position.offset == 2 * (len(sealed) + 16)


def test_a_batch_that_cannot_be_read_is_passed_over(tmp_path: Path, spool: Spool) -> None:
    """What is behind it comes all the same."""
    spool.append([(NOON_NS, b"ORB1 and nothing more")])
    Teller(spool, 1).tell(story(1, NOON_NS))
    follower(tmp_path).catch_up()
    assert len(identities(tmp_path / "lake")) == len(story(1, NOON_NS))


ROUNDS = 40


@contextlib.contextmanager
def in_a_child(work: Callable[[], object]) -> Iterator[int]:
    """A process that does this and ends, whose pid is given; it is waited for."""
    pid = os.fork()
    if not pid:
        try:
            gc.freeze()  # as little of ours as of a real writer's stands in its heap
            work()
        finally:
            os._exit(1)
    yield pid
    os.waitpid(pid, 0)


def run_until_killed(tmp_path: Path, after_s: float) -> None:
    """A writer's life, cut off after a while."""
    life = follower(tmp_path, limits=Limits(rows=60, seconds=0.0))
    with in_a_child(lambda: life.run(threading.Event())) as pid:
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)


def time_a_flush(tmp_path: Path) -> float:
    """How long a writer takes here and now to start and to write what waits."""
    began_s = time.monotonic()
    with in_a_child(lambda: follower(tmp_path, limits=Limits(rows=60)).catch_up()):
        pass
    return time.monotonic() - began_s


def warm_up(directory: Path) -> None:
    """Flush once elsewhere: what a process does only once is done, and a kill falls into what it does each time."""
    directory.mkdir()
    Teller(Spool(directory / "spool"), 1).tell(story(1, NOON_NS))
    follower(directory, limits=Limits(rows=60)).catch_up()


def test_killed_at_any_moment_it_writes_everything_once(tmp_path: Path, spool: Spool) -> None:
    """Forty kills while it takes, writes and notes: each record is there, once, and every file is whole."""
    warm_up(tmp_path / "elsewhere")
    chance = random.Random(5)
    tellers = [Teller(spool, number) for number in range(3)]
    expected = 0
    pids, longest_s = itertools.count(1000, 10), 0.0
    for round_number in range(ROUNDS):
        for teller in tellers:
            at_ns = NOON_NS + round_number * 10**9 + (HOUR_NS if round_number % 7 == 0 else 0)
            told = story(teller.number, at_ns, first_pid=next(pids), shells=2)
            teller.tell(told, at_ns=at_ns)
            expected += len(told) - (round_number > 0)  # its container is told of once, as far as a writer remembers
        if round_number % 20 == 0:
            longest_s = 1.2 * time_a_flush(tmp_path)
        run_until_killed(tmp_path, chance.uniform(0.0, longest_s))
        if round_number % 10 == 9:
            seen = identities(tmp_path / "lake")
            assert not [uid for uid, times in seen.items() if times > 1], "a reader saw a record twice"
    follower(tmp_path).catch_up()
    seen = {uid: times for uid, times in identities(tmp_path / "lake").items() if "ContainerSeen" not in uid}
    assert set(seen.values()) == {1}
    assert len(seen) == expected - len(tellers)
    assert lake_reached(tmp_path / "reached") == load_record(LocalLake(tmp_path / "lake"), "one").position


@pytest.mark.parametrize("step", range(16))
def test_a_death_at_each_step_of_a_flush_doubles_nothing(tmp_path: Path, spool: Spool, step: int) -> None:
    """Each write of a flush is in turn the last one that a writer made, done or not done."""
    Teller(spool, 1).tell(story(1, NOON_NS), [found(1, NOON_NS)])
    dying = DyingLake(tmp_path / "lake", step // 2, after=bool(step % 2))
    first = Follower(dying, tmp_path / "spool", "one", all_count)
    with pytest.raises(Died):
        first.catch_up()
    Teller(spool, 2).tell(story(2, NOON_NS))
    follower(tmp_path).catch_up()
    assert set(identities(tmp_path / "lake").values()) == {1}
    assert len(identities(tmp_path / "lake")) == 2 * len(story(1, NOON_NS)) + 1


def test_a_spool_that_was_tidied_away_leaves_what_was_written(tmp_path: Path, spool: Spool) -> None:
    """A flush that can no longer be made again is left as it is, and the writer goes on behind it."""
    Teller(spool, 1).tell(story(1, NOON_NS))
    follower(tmp_path).catch_up()
    Teller(spool, 1).tell(story(1, NOON_NS, first_pid=500))
    with pytest.raises(Died):
        Follower(DyingLake(tmp_path / "lake", 3, after=True), tmp_path / "spool", "one", all_count).catch_up()
    before = identities(tmp_path / "lake")
    for path in (tmp_path / "spool").iterdir():
        path.unlink()
    writer = follower(tmp_path).catch_up()
    assert identities(tmp_path / "lake") == before and writer.record.plan is None


def test_days_that_are_over_are_removed(tmp_path: Path, spool: Spool) -> None:
    """Whole days of ours and nothing else."""
    Teller(spool, 1).tell(story(1, NOON_NS))
    follower(tmp_path).catch_up()
    lake = tmp_path / "lake"
    theirs = lake / "ext/somebody-else/region=x/accountId=1/eventDay=20200101/data.parquet"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    now_ms = NOON_NS // 10**6
    assert remove_expired(LocalLake(lake), now_ms + 30 * 86_400_000, 31) == 0
    assert remove_expired(LocalLake(lake), now_ms + 32 * 86_400_000, 31) == 6
    assert lake_files(lake) == [theirs]


@pytest.mark.parametrize("location", ["s3://", "s3:///x", "s3://a/b?c=d"])
def test_a_place_that_is_none_is_refused(location: str) -> None:
    """Said at the start, not at the first flush."""
    with pytest.raises(ConfigError):
        open_lake(location)
