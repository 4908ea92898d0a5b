"""The lake on S3 (moto's, over HTTP): the same files, the same answers, the same care."""

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from lake_stories import NOON_NS, Teller, found, story, task_arn
from moto.server import ThreadedMotoServer

from outrider_collector.lake.counting import all_count
from outrider_collector.lake.dialects import DUCKDB
from outrider_collector.lake.following import Follower
from outrider_collector.lake.places import Lake, LocalLake, open_lake
from outrider_collector.lake.queries import QUERIES, Filter
from outrider_collector.lake.reading import Reading, span_of_day
from outrider_collector.lake.record import Plan, Record, load_record, save_record
from outrider_collector.lake.retention import remove_expired
from outrider_collector.spool import Place, Spool
from outrider_wire.errors import ConfigError, Unavailable

SINCE_MS, UNTIL_MS = span_of_day(NOON_NS // 10**6)
BUCKET = "the-lake"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 that is empty but for a bucket."""
    before = dict(os.environ)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=url)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    yield url
    server.stop()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def on_s3(endpoint: str, tmp_path: Path) -> Lake:
    """A lake of this test's own in the bucket."""
    return open_lake(f"s3://{BUCKET}/{tmp_path.name}", endpoint=endpoint, region="eu-west-1")


def told(spool: Spool) -> None:
    """Two stories and a finding."""
    Teller(spool, 1).tell(story(1, NOON_NS), [found(1, NOON_NS)])
    Teller(spool, 2).tell(story(2, NOON_NS))


def test_it_answers_as_a_directory_does(on_s3: Lake, tmp_path: Path, spool: Spool) -> None:
    """Every built-in query, over the same batches."""
    told(spool)
    local = LocalLake(tmp_path / "lake")
    for lake in (on_s3, local):
        Follower(lake, tmp_path / "spool", "one", all_count).catch_up()
    for chosen in (Filter(since_ms=SINCE_MS, until_ms=UNTIL_MS, task=task) for task in ("", task_arn(1))):
        there, here = Reading(on_s3, SINCE_MS, UNTIL_MS), Reading(local, SINCE_MS, UNTIL_MS)
        for query in QUERIES:
            sql = query.make(DUCKDB, chosen)
            assert there.ask(sql).rows == here.ask(sql).rows
        with pytest.raises(ConfigError):
            there.ask("SELECT * FROM read_text('/etc/hostname')")


def test_a_flush_that_was_begun_is_made_again(on_s3: Lake, tmp_path: Path, spool: Spool) -> None:
    """What another version planned and this one does not write is removed."""
    told(spool)
    begun = Record(Place(0, 0), Plan(spool.end, ("ext/outrider-process/gone.parquet",)))
    on_s3.put("ext/outrider-process/gone.parquet", b"half a flush")
    save_record(on_s3, "one", begun)
    Follower(on_s3, tmp_path / "spool", "one", all_count).catch_up()
    assert on_s3.read("ext/outrider-process/gone.parquet") is None
    assert load_record(on_s3, "one") == Record(spool.end)
    reading = Reading(on_s3, SINCE_MS, UNTIL_MS)
    assert reading.ask("SELECT count(*) - count(DISTINCT metadata.uid) FROM process").rows == [(0,)]


def test_days_that_are_over_are_removed(on_s3: Lake, tmp_path: Path, spool: Spool) -> None:
    """As in a directory."""
    told(spool)
    Follower(on_s3, tmp_path / "spool", "one", all_count).catch_up()
    now_ms = NOON_NS // 10**6
    assert remove_expired(on_s3, now_ms, 1) == 0
    assert remove_expired(on_s3, now_ms + 2 * 86_400_000, 1) == 7
    assert Reading(on_s3, SINCE_MS, UNTIL_MS).ask("SELECT count(*) FROM process").rows == [(0,)]


def test_a_bucket_that_refuses_is_said_so(endpoint: str) -> None:
    """A lake that cannot be read is no empty lake."""
    nowhere = open_lake("s3://no-such-bucket/x", endpoint="http://127.0.0.1:9", region="eu-west-1")
    with pytest.raises(Unavailable):
        Reading(nowhere, SINCE_MS, UNTIL_MS)
