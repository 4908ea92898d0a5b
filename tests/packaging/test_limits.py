"""The host process's limits are the peer's, for machines as they are sold and as their kernels tell of them."""

import pytest

from outrider_cdk.limits import GIB, MIB, cpu_quota_percent, cpu_units, machine_memory_bytes, memory_limit_bytes


@pytest.mark.parametrize(
    ("machine_mib", "limit_mib"),
    [(512, 128), (3_800, 128), (7_000, 128), (7_700, 256), (8_192, 256), (31_000, 1024), (15_600, 256), (65_536, 1024)],
)
def test_memory_goes_by_the_size_of_the_machine(machine_mib: int, limit_mib: int) -> None:
    """128 MB below 8 GB, 256 MB below 32 GB, 1 GB from there; what the kernel keeps for itself does not lower it."""
    assert memory_limit_bytes(machine_mib * MIB) == limit_mib * MIB


def test_the_processor_share_is_a_tenth_of_all() -> None:
    """systemd counts hundredths of one CPU, ECS 1024ths and takes no less than 128."""
    assert [cpu_quota_percent(n) for n in (1, 2, 96)] == [10, 20, 960]
    assert [cpu_units(n) for n in (1, 2, 4, 96)] == [128, 204, 409, 9830]


def test_this_machine_is_measured() -> None:
    """MemTotal is found in what the kernel says, and nothing is guessed where it is not."""
    with open("/proc/meminfo") as file:
        assert 64 * MIB < machine_memory_bytes(file.read()) < 100_000 * GIB
    with pytest.raises(ValueError, match="MemTotal"):
        machine_memory_bytes("MemFree: 12 kB\n")
