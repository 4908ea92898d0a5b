"""The file that says that the sidecar is well: not before what matters is seen, and not much later either."""

import time

from outrider_sidecar.health import FILE, READY_WITHIN_S, Health, read_health


def test_nothing_is_said_before_what_matters_is_seen(tmp_path):
    """Neither `begin` nor `write` makes the file while the guard does not see; then it says what it was given."""
    health = Health(tmp_path, ())
    health.write({"guarded": 1})
    assert not health.begin({"guarded": 1}, seeing=False)
    assert not (tmp_path / FILE).exists()
    assert health.begin({"guarded": 2}, seeing=True)
    assert read_health(tmp_path)["guarded"] == 2


def test_a_guard_that_does_not_come_to_see_is_not_waited_for_longer(tmp_path):
    """After READY_WITHIN_S the file is written all the same."""
    health = Health(tmp_path, ())
    assert not health.begin({}, seeing=False, now_s=time.monotonic() + READY_WITHIN_S - 1)
    assert health.begin({}, seeing=False, now_s=time.monotonic() + READY_WITHIN_S)
    assert (tmp_path / FILE).exists()
