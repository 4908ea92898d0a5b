"""What an earlier guard kept of a container is given back to that container alone."""

from types import SimpleNamespace

from ecs_agent import IDS

from outrider_sidecar.memory import Memory
from outrider_sidecar.world.containers import Containers
from outrider_sidecar.world.drift import DriftRecord


def new_guard(memory: Memory) -> SimpleNamespace:
    """As much of a guard as memory knows, after it recalled."""
    guard = SimpleNamespace(intake=SimpleNamespace(put=lambda _: None), earlier_drift=lambda *_: None)

    def new_drift(mnt_ns, started_ns, ident):
        earlier = guard.earlier_drift(mnt_ns, ident)
        return DriftRecord.restore(earlier) if earlier is not None else DriftRecord(started_ns)

    guard.containers = Containers(new_drift)
    memory.recall(guard)
    return guard


def test_a_namespaces_number_that_is_used_again_recalls_nothing(tmp_path):
    """Two containers are remembered; one ended meanwhile and its number is another's now."""
    before = new_guard(Memory(tmp_path))
    for mnt_ns, name in ((1, "app"), (2, "ledger")):
        before.containers.see(mnt_ns, f"0::/docker/{IDS[name]}", 10, 10 + mnt_ns)
    Memory(tmp_path).keep(before)
    after = new_guard(Memory(tmp_path))
    same = after.containers.see(1, f"0::/docker/{IDS['app']}", 99, 90)
    another = after.containers.see(2, f"0::/docker/{IDS['stray']}", 99, 90)
    assert (same.drift.baseline_ns, another.drift.baseline_ns) == (11, 90)
    hidden = new_guard(Memory(tmp_path)).containers.see(2, "0::/", 99, 90)
    assert hidden.drift.baseline_ns == 12
