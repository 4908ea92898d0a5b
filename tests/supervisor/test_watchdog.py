"""Who is killed for standing still, and who is spared for being slow."""

import pytest

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.watchdog import LATE_NS, SILENT_NS, STANDING_NS, is_hung

MS = 1_000_000


@pytest.mark.parametrize(
    ("silence_ns", "state", "late", "hung"),
    [
        (STANDING_NS, "T", False, True),
        (STANDING_NS, "t", True, True),
        (STANDING_NS - 1, "T", False, False),
        (STANDING_NS, "R", False, False),
        (SILENT_NS, "S", False, True),
        (SILENT_NS, "R", True, False),
        (SILENT_NS, "Z", False, False),
        (LATE_NS, "D", False, False),
    ],
)
def test_a_stopped_process_is_killed_soon_and_a_silent_one_late(silence_ns, state, late, hung):
    """A stop is a fact at once; silence counts later, and never when the watcher itself was starved."""
    assert is_hung(silence_ns=silence_ns, state=state, watcher_late=late) is hung


def test_beats_are_shared_and_silence_is_measured_from_the_last():
    """Silence grows from a beat on and is never negative."""
    heartbeat = Heartbeat()
    heartbeat.beat(Slot.TRACER_BEAT, 5 * MS)
    assert heartbeat.silence_ns(Slot.TRACER_BEAT, 9 * MS) == 4 * MS
    assert heartbeat.silence_ns(Slot.TRACER_BEAT, 1 * MS) == 0


def test_slots_are_words_of_one_page():
    """Each slot has a place of its own."""
    heartbeat = Heartbeat()
    for slot in Slot:
        heartbeat[slot] = int(slot) + 100
    assert [heartbeat[slot] for slot in Slot] == [int(slot) + 100 for slot in Slot]
