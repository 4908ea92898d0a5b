"""The seccomp profile is turned from its shared form to the one runc takes, as Docker would for those capabilities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_lab.seccomp import convert
from outrider_lab.settings import ECS_CAPABILITIES
from outrider_wire.errors import Unavailable

PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}],
    "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": None, "includes": {}, "excludes": {}},
        {"names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_PTRACE"]}},
        {"names": ["kcmp"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_SYS_PTRACE"]}},
        {"names": ["unshare", "clone", "write"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["sync_file_range2"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["ppc64le"]}},
        {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
    ],
}


def rules(capabilities: tuple[str, ...]) -> list[tuple[str, str]]:
    made = convert(PROFILE, capabilities=capabilities, machine="x86_64")
    return [(rule["names"][0], rule["action"]) for rule in made["syscalls"]]


def test_a_rule_without_conditions_always_holds():
    """An unconditional rule is in every profile, with an empty list of arguments where there was none."""
    made = convert(PROFILE, capabilities=(), machine="x86_64")
    assert made["syscalls"][0] == {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": []}


def test_a_capability_turns_refusal_into_permission():
    """kcmp is allowed with SYS_PTRACE, as the sidecar has it, and refused with EPERM without."""
    assert ("kcmp", "SCMP_ACT_ERRNO") in rules(ECS_CAPABILITIES)
    assert ("kcmp", "SCMP_ACT_ALLOW") in rules((*ECS_CAPABILITIES, "CAP_SYS_PTRACE"))


def test_rules_of_other_machines_are_left_out():
    """What holds on ppc64le alone is in no profile for x86-64, what holds on amd64 is."""
    names = [name for name, _ in rules(())]
    assert "arch_prctl" in names
    assert "sync_file_range2" not in names


def test_architectures_follow_the_machine():
    """The 32-bit siblings of the machine's architecture come along."""
    made = convert(PROFILE, capabilities=(), machine="x86_64")
    assert made["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]


def test_what_docker_keeps_for_sys_admin_is_refused():
    """Podman's permission to make namespaces is taken back; with SYS_ADMIN the profile stays as it was."""
    assert ("write", "SCMP_ACT_ALLOW") in rules(ECS_CAPABILITIES)
    assert "unshare" in convert(PROFILE, capabilities=(), machine="x86_64")["syscalls"][-1]["names"]
    assert ("unshare", "SCMP_ACT_ALLOW") in rules(("CAP_SYS_ADMIN",))


def test_an_unknown_machine_is_refused():
    """A machine without a known architecture name makes the lab unavailable, not unguarded."""
    with pytest.raises(Unavailable):
        convert(PROFILE, capabilities=(), machine="vax")


@given(st.sets(st.sampled_from([*ECS_CAPABILITIES, "CAP_SYS_PTRACE", "CAP_SYS_ADMIN"])))
def test_each_call_has_one_verdict_for_any_capabilities(capabilities: set[str]):
    """Whatever the capabilities, kcmp is either allowed or refused, never both."""
    assert sum(name == "kcmp" for name, _ in rules(tuple(capabilities))) == 1
