"""Findings whose every text is hostile: for whoever turns a finding into another format."""

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from msgspec.structs import replace

hostile = st.text(alphabet=st.characters(codec="utf-8"), max_size=3000) | st.sampled_from(
    ["", " ", "\n", "\x00" * 50, "\u202eevil", "é" * 5000, "💥" * 4096, 'a|b=c\\d]e"f', "<script>", "'; DROP TABLE--"]
)


def make_hostile(stored: Any, told: Any, data: st.DataObject) -> Any:
    """A finding whose every text is hostile."""
    text = data.draw(hostile, label="text")
    other = data.draw(hostile, label="other")
    number = data.draw(st.integers(-(2**63), 2**63 - 1), label="number")
    base = told()
    process = replace(
        base.process, name=text, exe=other, cmdline=text, cwd=other, pid=number, uid=number, started_at=text
    )
    process = replace(
        process, started_at=text, ancestry=[replace(process.ancestry[0], name=other, exe=text, pid=number)] * 80
    )
    container = replace(base.container, id=text, name=other, image=text)
    task = replace(base.task, arn=data.draw(st.sampled_from([base.task.arn, text])), family=other, revision=text)
    names = (
        "dns.name",
        "fd.rip",
        "fd.rport",
        "stdio.remote",
        "dns.category",
        "proc.new_file",
        "file.change",
        "user.euid",
    )
    evidence: dict[str, Any] = {name: data.draw(hostile | st.integers(-5, 99_999)) for name in names}
    evidence |= {f"{other}{n}": text for n in range(60)} | {"list": [text, other], "none": None, "flag": True}
    return stored(
        type=text, rule=other, title=text, description=other, remedy=text, agent=other, tags=[text, other], at=text,
        process=process, container=container, task=task, evidence=evidence,
        count=data.draw(st.integers(1, 2**62)), first_seen_ns=data.draw(st.integers(0, 2**63 - 1)),
        last_seen_ns=data.draw(st.integers(0, 2**63 - 1)),
    )  # fmt: skip


QUICK = settings(
    max_examples=40,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.large_base_example, HealthCheck.too_slow],
)
"""For tests that are given such findings: what is long is slow to make smaller, and says little."""
