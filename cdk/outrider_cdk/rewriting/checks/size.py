"""Whether the sidecar fits into the task.

ECS refuses a definition in which the containers reserve more than the task has (the sum of `memoryReservation`, the sum
of `cpu`), or in which one container's `memory` is more. The sum of the limits may be more than the task has.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import others_of
from outrider_cdk.rewriting.platforms import cpu_units, memory_mib, platform_of
from outrider_cdk.rewriting.problems import Problem, error, warning
from outrider_cdk.rewriting.shapes import as_number
from outrider_cdk.rewriting.sidecar import cpu_for

GIB: Final = 1024
FARGATE_SIZES: Final[Mapping[int, tuple[int, ...]]] = {
    256: (512, 1 * GIB, 2 * GIB),
    512: tuple(range(1 * GIB, 4 * GIB + 1, GIB)),
    1024: tuple(range(2 * GIB, 8 * GIB + 1, GIB)),
    2048: tuple(range(4 * GIB, 16 * GIB + 1, GIB)),
    4096: tuple(range(8 * GIB, 30 * GIB + 1, GIB)),
    8192: tuple(range(16 * GIB, 60 * GIB + 1, 4 * GIB)),
    16384: tuple(range(32 * GIB, 120 * GIB + 1, 8 * GIB)),
}
"""CPU units and the memory, in MiB, that goes with them (ECS developer guide, task size). Larger are not judged."""


def check_memory(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """What is reserved fits, and so does what may be taken."""
    whole = memory_mib(task)
    if whole is None:
        return
    containers = [container for _, container in others_of(task)]
    reserved = sum(_number(container, "memoryReservation") for container in containers)
    limits = sum(_number(container, "memory") or _number(container, "memoryReservation") for container in containers)
    says = ""
    if reserved + options.memory_reservation_mib > whole:
        says = f"The containers reserve {reserved} MiB, the sidecar {options.memory_reservation_mib} more"
    elif options.memory_mib > whole:
        says = f"The sidecar may take {options.memory_mib} MiB"
    if says:
        remedy = _next_size(task, options, reserved) or "Give the task more memory, or its containers less."
        yield error(("memory",), "too-small", f"{says}, and the task has {whole}.", remedy)
    elif limits + options.memory_mib > whole or whole < 4 * options.memory_mib:
        says = (
            f"The containers may take {f'{limits} MiB' if limits else 'what they like'}, the sidecar "
            f"{options.memory_mib}, and the task has {whole}: when all take what they may, the kernel ends one."
        )
        yield warning(("memory",), "tight", says, "Look at the task's MemoryUtilized, and give it more if it is near.")


def check_cpu(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """What is reserved fits, and leaves the sidecar some."""
    reserved = sum(_number(container, "cpu") for _, container in others_of(task))
    whole, share = cpu_units(task), cpu_for(task, options)
    if whole is not None and reserved + share > whole and share:
        says = f"The containers reserve {reserved} units of CPU, the sidecar {share}, and the task has {whole}."
        yield error(("cpu",), "too-small", says, "Give the sidecar less (cpu), a container less, or the task more.")
    elif reserved and not share:
        says = (
            "The containers reserve all of the task's CPU and the sidecar none: when they are busy it waits, and a "
            "program that starts waits for it."
        )
        yield warning(("cpu",), "no-cpu", says, "Leave 32 units or more of the task's CPU to the sidecar.")


def check_pair(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """On Fargate CPU and memory come in pairs, and one that is none was wrong before."""
    if platform_of(task, options) != "fargate":
        return
    cpu, memory = cpu_units(task), memory_mib(task)
    for field in ("cpu", "memory"):
        if task.get(field) is None:
            yield warning((), "no-size", f"Fargate wants the task's {field}.", f"Write {field} for the whole task.")
    if cpu is None or memory is None or cpu > max(FARGATE_SIZES):
        return
    if memory not in FARGATE_SIZES.get(cpu, ()):
        says = f"Fargate has no task with {cpu} units of CPU and {memory} MiB."
        yield warning(("memory",), "no-such-size", says, "Choose a pair out of the ECS developer guide, task size.")


def _number(container: Mapping[str, Any], field: str) -> int:
    return max(0, as_number(container.get(field)) or 0)


def _next_size(task: Mapping[str, Any], options: GuardOptions, reserved: int) -> str:
    """What to write instead, where Fargate's sizes tell."""
    cpu = cpu_units(task)
    if platform_of(task, options) != "fargate" or cpu is None:
        return ""
    enough = [size for size in FARGATE_SIZES.get(cpu, ()) if size >= reserved + options.memory_mib]
    return f"Write {enough[0]} for the task's memory." if enough else ""
