"""Cgroup paths: every form that ECS, Docker and containerd write, and text that is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.cgroups import CgroupIdentity, parse_cgroup
from outrider_sidecar.world.containers import container_id

TASK = "0123456789abcdef0123456789abcdef"
OLD_TASK = "090eff9b-1ce3-4db6-848a-a8d14064fd24"
ID, OTHER = "ab" * 32, "cd" * 32
FARGATE = TASK + "-1234567890"

FORMS = {
    "Fargate, v2": (f"0::/ecs/{TASK}/{FARGATE}\n", (FARGATE,), TASK, ""),
    "ECS, v1": (f"11:pids:/ecs/{TASK}/{ID}\n1:name=systemd:/ecs/{TASK}/{ID}\n", (ID,), TASK, ""),
    "ECS, v1, task of the older form": (f"4:memory:/ecs/{OLD_TASK}/{ID}\n", (ID,), OLD_TASK, ""),
    "ECS, v1, below the cluster": (f"4:memory:/ecs/prod/{TASK}/{ID}\n", (ID,), TASK, "prod"),
    "ECS, v2, systemd": (f"0::/ecstasks.slice/ecstasks-{TASK}.slice/docker-{ID}.scope\n", (ID,), TASK, ""),
    "ECS, v2, systemd, task of the older form": (
        f"0::/ecstasks.slice/ecstasks-090eff9b.slice/ecstasks-{OLD_TASK}.slice/docker-{ID}.scope\n",
        (ID,),
        OLD_TASK,
        "",
    ),
    "Docker, cgroupfs": (f"0::/docker/{ID}\n", (ID,), "", ""),
    "Docker, v1 in all hierarchies": (f"12:pids:/docker/{ID}\n3:cpu:/docker/{ID}\n0::/\n", (ID,), "", ""),
    "Docker, systemd": (f"0::/system.slice/docker-{ID}.scope\n", (ID,), "", ""),
    "containerd, a namespace": (f"0::/default/{ID}\n", (ID,), "", ""),
    "containerd, CRI": (
        f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-{ID}.scope\n",
        (ID,),
        "",
        "",
    ),
    "containerd, CRI under systemd's name": (
        f"0::/system.slice/containerd.service/k:cri-containerd:{ID}\n",
        (ID,),
        "",
        "",
    ),
    "nerdctl": (f"0::/system.slice/nerdctl-{ID}.scope\n", (ID,), "", ""),
    "podman": (f"0::/machine.slice/libpod-{ID}.scope/container\n", (ID,), "", ""),
    "podman's monitor is outside": (f"0::/machine.slice/libpod-conmon-{ID}.scope\n", (), "", ""),
    "seen from another cgroup namespace": (f"0::/../docker-{ID}.scope\n", (ID,), "", ""),
    "seen from a task's": (f"0::/../../ecs/{TASK}/{ID}\n", (ID,), TASK, ""),
    "systemd inside": (f"0::/ecs/{TASK}/{ID}/init.scope\n", (ID,), TASK, ""),
    "Docker inside": (f"0::/ecs/{TASK}/{ID}/docker/{OTHER}\n", (ID, OTHER), TASK, ""),
    "somebody's false task inside": (f"0::/ecs/{TASK}/{ID}/ecs/{'f' * 32}/{OTHER}\n", (ID, OTHER), TASK, ""),
    "a lab's": (f"7:cpu:/outrider-lab-12-345/ecs/{TASK}/{FARGATE}\n", (FARGATE,), TASK, ""),
    "hybrid: one line says more": (f"1:name=systemd:/docker/{ID}\n0::/ecs/{TASK}/{ID}\n", (ID,), TASK, ""),
    "hidden by a namespace": ("0::/\n", (), "", ""),
    "a task's own process": (f"0::/ecs/{TASK}\n", (), "", ""),
    "a slice alone": (f"0::/ecstasks.slice/ecstasks-{TASK}.slice\n", (), TASK, ""),
    "a service of the host": ("0::/system.slice/sshd.service\n", (), "", ""),
    "a longer number": (f"0::/docker/{ID}0\n", (), "", ""),
    "nothing": ("", (), "", ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read(form):
    """Ids outermost first, task and cluster as the path has them."""
    text, ids, task, cluster = FORMS[form]
    assert parse_cgroup(text) == CgroupIdentity(ids, task, cluster)
    assert container_id(text) == (ids[-1] if ids else "")


@pytest.mark.parametrize("form", FORMS)
def test_a_bare_path_is_read_like_its_line(form):
    """The path alone says the same as the line it stands in."""
    text, ids, task, cluster = FORMS[form]
    lines = [line for line in text.splitlines() if parse_cgroup(line) == CgroupIdentity(ids, task, cluster)]
    assert lines or not text
    for line in lines:
        assert parse_cgroup(line.split(":", 2)[2]) == CgroupIdentity(ids, task, cluster)


@given(st.text() | st.lists(st.sampled_from([*"/:\n", "ecs", TASK, ID, FARGATE, "..", ".scope", "0::"])).map("".join))
def test_any_text_has_some_identity(text):
    """No text raises."""
    assert len(parse_cgroup(text).ids) <= 8
