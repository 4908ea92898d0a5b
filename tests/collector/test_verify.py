"""`outrider verify`: what the stored bytes prove, and what it finds where somebody changed them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outrider_cli.main import main
from outrider_collector.intake import Intake
from outrider_collector.register import FILE
from outrider_collector.spool import Place, Spool
from outrider_collector.store.database import open_database
from outrider_collector.verify import prove
from outrider_wire.errors import ConfigError
from outrider_wire.events import Event
from outrider_wire.findings import Finding, TaskView

TASK = TaskView(arn="arn:aws:ecs:eu-central-1:000000000000:task/c/1")


@pytest.fixture
def collect(tmp_path: Path) -> Callable[..., Path]:
    """Gives a data directory of a collector that took these batches of these agents, in this order."""

    def run(*speakers: Any, batches: list[bytes]) -> Path:
        data = tmp_path / "data"
        intake = Intake(open_database(data / "db.sqlite"), Spool(data / "spool"))
        intake.start()
        for one in speakers:
            assert intake.enrol(one.request()).result(5).accepted
        for data_of_one in batches:
            intake.submit(data_of_one).result(5)
        intake.close()
        return data

    return run


HEADER_AT = 8
"""Where the header of a batch begins: behind magic and length."""
SIGNATURE_AT = 0
"""Stands for where the signature begins, which the header's length says."""


def flip(raw: bytes, at: int) -> bytes:
    """The batch with one bit changed there."""
    at = at or HEADER_AT + int.from_bytes(raw[4:8], "big")
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def rewrite(data: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Put another account in the place of the spool, frames and checksums as they should be."""
    spool = data / "spool"
    frames = list(Spool.read_only(spool, Place(0, 0)))
    for path in spool.glob("*.spool"):
        path.unlink()
    forged = Spool(spool)
    forged.append([(frame.received_at_ns, raw) for frame, raw in zip(frames, change([f.data for f in frames]))])  # noqa: B905 - the change may drop some
    forged.close()


def test_a_whole_record_is_proved(
    collect: Callable[..., Path], speaker: Any, finding: Callable[..., Finding], event: Event
) -> None:
    """From the first batch to the good-bye, with what was said in it and what was lost, repeats counted once."""
    one, two = speaker(task=TASK), speaker()
    said = [one.say(finding("a"), events=[event]), two.say(), one.say(), one.say(final=True)]
    data = collect(one, two, batches=[each.data for each in said])
    proofs = {proof.agent: proof for proof in prove(data)}
    mine = proofs[one.key.agent]
    assert mine.whole and mine.begins and mine.ends and mine.flaws == []
    assert (mine.batches, mine.findings, mine.events, mine.task_arn) == (3, 1, 1, TASK.arn)
    assert mine.lost == {"pipe": 3}
    assert proofs[two.key.agent].whole and not proofs[two.key.agent].ends
    assert [proof.agent for proof in prove(data / "spool", agents=[two.key.agent])] == [two.key.agent]


def test_what_the_agent_shed_itself_is_announced(
    collect: Callable[..., Path], speaker: Any, finding: Callable[..., Finding], event: Event
) -> None:
    """A batch whose records were cut off is no hole in the chain, and is told."""
    one = speaker()
    sealed = one.say(finding("a"), events=[event, event])
    (proof,) = prove(collect(one, batches=[sealed.data[: sealed.findings_end]]))
    assert proof.whole and (proof.shed_findings, proof.shed_events) == (0, 2)


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (lambda raw: raw[:1] + raw[2:], {"gap"}),
        (lambda raw: [raw[0], raw[1][:-1] + bytes([raw[1][-1] ^ 1]), raw[2]], {"bad-digest", "gap"}),
        (lambda raw: [raw[0], raw[1].replace(b"ORB1", b"ORB2"), raw[2]], {"gap", "unreadable"}),
        (lambda raw: [raw[0], flip(raw[1], SIGNATURE_AT), raw[2]], {"bad-signature", "gap"}),
        (lambda raw: [raw[0], flip(raw[1], HEADER_AT), raw[2]], {"unreadable", "gap"}),
    ],
    ids=["removed", "a record changed", "no batch", "a signature changed", "a header changed"],
)
def test_a_changed_record_is_not_whole(
    collect: Callable[..., Path], speaker: Any, finding: Callable[..., Finding], change: Any, kinds: set[str]
) -> None:
    """Whoever can write the spool, checksums and all, cannot make it whole again."""
    one = speaker()
    data = collect(one, batches=[one.say(finding(name)).data for name in "abc"])
    rewrite(data, change)
    flaws = [flaw for proof in prove(data) for flaw in proof.flaws]
    found = {flaw.kind for flaw in flaws}
    assert "gap" in found and all(any(kind in one for one in found) for kind in kinds)
    assert not all(proof.whole for proof in prove(data))


def test_a_fork_and_a_break_are_found(
    collect: Callable[..., Path], speaker: Any, finding: Callable[..., Finding]
) -> None:
    """Two accounts by one key, and one that does not follow from what was before."""
    one = speaker()
    first = one.say().data
    data = collect(one, batches=[first, one.say().data])
    twin = speaker(key=one.key, resume=one.resume, sequence=1, previous=b"\x01" * 32).say(finding("x")).data
    forged = Spool(data / "spool")
    forged.append([(1, twin)])
    forged.close()
    assert {flaw.kind for proof in prove(data) for flaw in proof.flaws} == {"fork"}
    rewrite(data, lambda raw: [raw[0], twin])
    assert {flaw.kind for proof in prove(data) for flaw in proof.flaws} == {"broken-chain"}


def test_an_agent_cannot_be_slipped_into_the_register(collect: Callable[..., Path], speaker: Any) -> None:
    """Its name is made of its key, and both keys signed what the register says."""
    one, intruder = speaker(task=TASK), speaker()
    data = collect(one, batches=[one.say().data])
    register = data / "spool" / FILE
    entry = json.loads(register.read_text())
    register.write_text(json.dumps(entry | {"task": None}) + "\n")
    assert {flaw.kind for proof in prove(data) for flaw in proof.flaws} == {"forged-enrolment"}
    forged = Spool(data / "spool")
    forged.append([(1, intruder.say().data)])
    forged.close()
    by_agent = {proof.agent: {flaw.kind for flaw in proof.flaws} for proof in prove(data)}
    assert by_agent[intruder.key.agent] == {"unregistered"}


def test_the_command_says_it(
    collect: Callable[..., Path], speaker: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """0 for whole, 1 for not, 2 for no collector's directory."""
    one = speaker()
    data = collect(one, batches=[one.say().data, one.say(final=True).data])
    assert main(["verify", str(data)]) == 0
    assert "whole" in capsys.readouterr().out
    rewrite(data, lambda raw: raw[1:])
    assert main(["verify", str(data), "--json"]) == 0  # it begins later, and says so: no hole in what is there
    assert json.loads(capsys.readouterr().out)["begins"] is False
    rewrite(data, lambda raw: [raw[0][:-70] + b"x" + raw[0][-69:]])
    assert main(["verify", str(data)]) == 1
    with pytest.raises(ConfigError):
        prove(tmp_path / "nothing")
    assert main(["verify", str(tmp_path / "nothing")]) == 2


def test_the_spools_of_several_collectors_are_one_record(
    tmp_path: Path, speaker: Any, finding: Callable[..., Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its agent enrolled at one and spoke to both: together they are whole, and each alone is not."""
    database, one = tmp_path / "db.sqlite", speaker()
    intakes = [Intake(open_database(database), Spool(tmp_path / name / "spool"), collector=name) for name in "ab"]
    for each in intakes:
        each.start()
    assert intakes[0].enrol(one.request()).result(5).accepted
    for number in range(6):
        intakes[number % 2].submit(one.say(finding(str(number))).data).result(5)
    for each in intakes:
        each.close()
    both = [tmp_path / name for name in "ab"]
    (proof,) = prove(*both)
    assert proof.whole and (proof.first, proof.last, proof.findings) == (0, 5, 6)
    assert not any(proof.whole for proof in prove(both[0]))
    assert main(["verify", *map(str, both)]) == 0
    assert "6 batches from its first batch" in capsys.readouterr().out
