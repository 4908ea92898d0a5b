"""Gaps in what is seen: bounded, joined where they must be, and never smaller than what was lost."""

from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.sight import ALWAYS, MAX_GAPS, OPEN, Gap, Sight, add_gap, end_gap, unseen_since
from outrider_wire.events import FileChanged, FileFacts, NameResolved, SightLost

TIMES = st.integers(0, 1_000)
GAPS = st.tuples(TIMES, TIMES).map(lambda ends: Gap(min(ends), max(ends)))


def _all(gaps: list[Gap], *, most: int = MAX_GAPS) -> tuple[Gap, ...]:
    joined: tuple[Gap, ...] = ()
    for gap in gaps:
        joined = add_gap(joined, gap, most=most)
    return joined


@given(st.lists(GAPS, max_size=40), TIMES, st.integers(1, 8))
def test_no_gap_is_forgotten(gaps: list[Gap], at: int, most: int) -> None:
    """Whatever lay in one still does, however many there are and in whatever order they are told; few are kept."""
    joined = _all(gaps, most=most)
    assert len(joined) <= most
    if any(gap.since_ns <= at <= gap.until_ns for gap in gaps):
        assert not Sight(0, joined).was_had(at)


@given(st.lists(GAPS, max_size=MAX_GAPS), TIMES)
def test_nothing_is_added_to_gaps_that_are_few(gaps: list[Gap], at: int) -> None:
    """Up to the bound sight is had wherever no gap is."""
    assert Sight(0, _all(gaps)).was_had(at) == (not any(gap.since_ns <= at <= gap.until_ns for gap in gaps))


def test_past_the_bound_the_nearest_are_taken_for_one() -> None:
    """A storm's losses become one; a quiet day between two others stays seen."""
    assert _all([Gap(0, 1), Gap(100, 101), Gap(103, 104)], most=2) == (Gap(0, 1), Gap(100, 104))


def test_a_gap_without_an_end_is_ended() -> None:
    """The one that lasts, at that moment; those that are over and those that come later stay as they are."""
    assert end_gap((Gap(1, 5), Gap(7, OPEN)), 9) == (Gap(1, 5), Gap(7, 9))
    assert end_gap((Gap(1, 5), Gap(7, OPEN)), 6) == (Gap(1, 5), Gap(7, OPEN))


def test_what_a_lost_event_leaves_unseen() -> None:
    """A file's making from its ctime on; a loss that was not told of from where that began; of names nothing."""
    made = FileFacts("/tmp/x", ctime_ns=40)
    assert unseen_since(FileChanged(50, "created", made)) == 40
    assert unseen_since(FileChanged(50, "moved_in", FileFacts("/tmp/x"))) == 50
    assert unseen_since(FileChanged(50, "attributes", made)) == OPEN
    assert unseen_since(SightLost(50, "file", "x", since_ns=30)) == 30
    assert unseen_since(SightLost(50, "file", "x")) == ALWAYS
    assert unseen_since(SightLost(50, "file", "x", since_ns=30, standing=True)) == OPEN
    assert unseen_since(NameResolved(50, "x", ())) == OPEN  # type: ignore[arg-type]
