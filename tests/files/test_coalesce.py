"""What bursts of inotify records come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.linux import inotify as i
from outrider_sidecar.linux.inotify import RawEvent
from outrider_sidecar.sensors.files.coalesce import coalesce

BURSTS = [
    ("a file is written", [i.CREATE, i.CLOSE_WRITE, i.ATTRIB], ["created"]),
    ("a file is written twice", [i.CLOSE_WRITE, i.CLOSE_WRITE], ["written"]),
    ("attributes, then content", [i.ATTRIB, i.CLOSE_WRITE], ["written"]),
    ("attributes alone", [i.ATTRIB, i.ATTRIB], ["attributes"]),
    ("made and deleted", [i.CREATE, i.CLOSE_WRITE, i.DELETE], ["created", "deleted"]),
    ("made, deleted, made", [i.CREATE, i.DELETE, i.CREATE], ["created", "deleted", "created"]),
    ("renamed over after writing", [i.CLOSE_WRITE, i.MOVED_TO], ["written", "moved_in"]),
    ("moved away and back", [i.MOVED_FROM, i.MOVED_TO], ["moved_out", "moved_in"]),
    ("opened and read, which is not asked for", [i.OPEN, i.CLOSE_NOWRITE], []),
]


@pytest.mark.parametrize(("masks", "changes"), [burst[1:] for burst in BURSTS], ids=[burst[0] for burst in BURSTS])
def test_a_burst_about_one_name_comes_to(masks, changes):
    """A burst is told of once, and no deletion or rename is swallowed."""
    assert [c.change for c in coalesce(RawEvent(1, mask, 0, b"x") for mask in masks)] == changes


def test_records_about_different_names_are_kept_apart():
    """Two files of the same directory, and the same name in two directories, are four changes."""
    events = [RawEvent(wd, i.CREATE, 0, name) for wd in (1, 2) for name in (b"x", b"y")]
    assert [(c.wd, c.name) for c in coalesce(events)] == [(1, b"x"), (1, b"y"), (2, b"x"), (2, b"y")]


def test_a_creation_that_was_also_written_says_so():
    """`wrote` survives, so that a creation told of by a listing still leaves a writing to tell of."""
    (change,) = coalesce([RawEvent(1, i.CREATE, 0, b"x"), RawEvent(1, i.CLOSE_WRITE, 0, b"x")])
    assert (change.change, change.wrote) == ("created", True)


MASKS = st.sampled_from([i.CREATE, i.CLOSE_WRITE, i.ATTRIB, i.DELETE, i.MOVED_FROM, i.MOVED_TO, i.OPEN])


@given(st.lists(st.tuples(MASKS, st.sampled_from([b"a", b"b"])), max_size=40))
def test_nothing_that_could_be_new_content_is_lost(records):
    """Whatever the order: a name with a content record is told of by one, and each deletion and arrival by itself."""
    changes = coalesce(RawEvent(1, mask, 0, name) for mask, name in records)
    for name in (b"a", b"b"):
        masks = [mask for mask, own in records if own == name]
        told = [change.change for change in changes if change.name == name]
        assert told.count("deleted") == masks.count(i.DELETE)
        assert told.count("moved_in") >= 1 or i.MOVED_TO not in masks
        if any(mask in (i.CREATE, i.CLOSE_WRITE, i.MOVED_TO) for mask in masks):
            assert {"created", "written", "moved_in"} & set(told)
