"""The pump: everything is sent, once where nothing fails; what fails waits; what brings others down is put aside."""

from typing import Any

from sqlalchemy import update

from outrider_collector.export.target import SENT, Outcome
from outrider_collector.store.database import writing
from outrider_collector.store.exports import Item, ask_retry, list_dead, load_export, load_exports
from outrider_collector.store.feed import take_numbers
from outrider_collector.store.tables import findings
from outrider_wire.errors import DeliveryError


def dead(plant: Any) -> list[Item]:
    """What was given up."""
    with plant.engine.connect() as connection:
        return list_dead(connection, "hook")


def test_all_that_is_there_and_comes_is_sent_once_in_order(plant: Any, scripted: Any) -> None:
    """More than one page of it, and nothing twice."""
    target = scripted()
    pump = plant.pump(target)
    names = [f"family-{number}" for number in range(250)]
    plant.tell(*names)
    plant.run(pump)
    assert target.families == names
    assert max(target.calls) == 10
    plant.tell("late")
    plant.run(pump, for_s=2)
    assert target.families == [*names, "late"]
    assert plant.counters.sent == 251 and plant.counters.behind == 0


def test_a_new_export_begins_with_what_is_to_come(plant: Any, scripted: Any) -> None:
    """Unless it is to begin with all there is, what was there before is not sent."""
    plant.tell("before")
    target = scripted()
    pump = plant.pump(target, begin="now")
    plant.tell("after")
    plant.run(pump)
    assert target.families == ["after"]


def test_filters(plant: Any, scripted: Any) -> None:
    """Only findings of the severity, types and states that were asked for."""
    target = scripted()
    pump = plant.pump(target, severity="MEDIUM", types=["Execution:*", "Outrider:Integrity/Gap"])
    plant.tell("low", severity="LOW")
    plant.tell("medium", severity="MEDIUM")
    plant.tell("other", type="Discovery:Runtime/X")
    plant.tell("gap", type="Outrider:Integrity/Gap")
    plant.run(pump)
    assert target.families == ["medium", "gap"]


def test_what_is_done_about_a_finding_is_told_only_to_who_asks_for_it(plant: Any, scripted: Any) -> None:
    """Archiving and assigning raise no alert again; an export with archived findings hears of it at once."""
    alerts, mirror = scripted(), scripted()
    alerting = plant.pump(alerts, name="alerts")
    mirroring = plant.pump(mirror, name="mirror", states=["new", "archived", "suppressed"])
    plant.tell("web")
    plant.run(alerting)
    plant.run(mirroring)
    with writing(plant.engine) as connection:
        (number,) = take_numbers(connection, 1)
        connection.execute(update(findings).values(state="archived", change=number))
    plant.run(alerting, for_s=2000)
    plant.run(mirroring)
    assert [each.state for each in alerts.taken] == ["new"]
    assert [each.state for each in mirror.taken] == ["new", "archived"]


def test_a_repeat_is_sent_when_the_finding_has_rested(plant: Any, scripted: Any) -> None:
    """A finding that repeats all the time is told once in `repeats_s`, with the newest count."""
    target = scripted()
    pump = plant.pump(target, repeats_s=900)
    plant.tell("web")
    plant.run(pump)
    for _ in range(5):
        plant.tell("web")
        plant.run(pump, for_s=10)
    assert [each.count for each in target.taken] == [1]
    plant.run(pump, for_s=900)
    assert [each.count for each in target.taken] == [1, 6]
    plant.run(pump, for_s=4000)
    assert len(target.taken) == 2


def test_without_rest_each_change_is_sent(plant: Any, scripted: Any) -> None:
    """`repeats_s` 0 sends every state that is seen."""
    target = scripted()
    pump = plant.pump(target, repeats_s=0)
    for _ in range(3):
        plant.tell("web")
        plant.run(pump, for_s=1)
    assert [each.count for each in target.taken] == [1, 2, 3]


def test_a_target_that_is_down_costs_nothing_and_nothing_is_given_up(plant: Any, scripted: Any) -> None:
    """For an hour, with waits that grow to a minute; then all is sent, once."""

    def down(found: Any) -> Outcome:
        raise DeliveryError("nobody there")

    target = scripted(decide=down)
    pump = plant.pump(target)
    names = [f"family-{number}" for number in range(30)]
    plant.tell(*names)
    for _ in range(24):
        plant.run(pump, for_s=150)
    assert plant.counters.failing and "nobody there" in plant.counters.error
    assert 50 < len(target.calls) < 120
    with plant.engine.connect() as connection:
        (row,) = load_exports(connection)
    assert row.position == 0 and row.failing_since_ns > 0 and "nobody there" in row.error
    target.decide = lambda found: SENT
    plant.run(pump, for_s=100)
    assert sorted(target.families) == sorted(names) and not dead(plant)
    assert not plant.counters.failing


def test_who_looks_at_the_exports_sees_at_once_that_a_target_begins_to_fail(plant: Any, scripted: Any) -> None:
    """Not with the next beat only, which comes some seconds later; and again when it fails anew."""

    def down(found: Any) -> Outcome:
        raise DeliveryError("nobody there")

    def fails() -> bool:
        with plant.engine.connect() as connection:
            (row,) = load_exports(connection)
        return row.failing_since_ns > 0

    target = scripted()
    pump = plant.pump(target)
    for family in ("web", "shop"):
        target.decide = down
        plant.tell(family)
        plant.run(pump, for_s=1)
        assert fails()
        target.decide = lambda found: SENT
        plant.run(pump, for_s=3)
        assert not fails()


def test_refused_findings_are_kept_with_the_reason(plant: Any, scripted: Any) -> None:
    """The others are sent; a refused one can be tried anew and is then as if nothing had been."""
    refuses = True

    def decide(found: Any) -> Outcome:
        return Outcome("refused", "not that one") if refuses and found.finding.task.family == "bad" else SENT

    target = scripted(decide=decide)
    pump = plant.pump(target)
    plant.tell("good", "bad", "better")
    plant.run(pump)
    assert target.families == ["good", "better"]
    (item,) = dead(plant)
    assert item.reason == "not that one" and item.tries == 1
    refuses = False
    with writing(plant.engine) as connection:
        assert ask_retry(connection, "hook", ["no-such"]) == 0
        assert ask_retry(connection, "hook", [item.finding]) == 1
    plant.run(pump, for_s=2)
    assert target.families == ["good", "better", "bad"] and not dead(plant)


def test_what_fails_alone_is_tried_so_often_and_given_up(plant: Any, scripted: Any) -> None:
    """With growing waits, while others get through."""

    def decide(found: Any) -> Outcome:
        return Outcome("later", "busy") if found.finding.task.family == "bad" else SENT

    target = scripted(decide=decide)
    pump = plant.pump(target, tries=4)
    plant.tell("good", "bad")
    plant.run(pump)
    assert target.families == ["good"] and plant.counters.failed == 1
    for number in range(6):
        plant.tell(f"more-{number}")
        plant.run(pump, for_s=60)
    (item,) = dead(plant)
    assert item.tries == 4 and item.reason == "busy"
    assert len(target.families) == 7 and plant.counters.dead == 1


def test_one_that_brings_its_target_down_is_found_out(plant: Any, scripted: Any) -> None:
    """The one behind it is tried; where that gets through the first is put aside, tried alone, and given up."""

    def decide(found: Any) -> Outcome:
        if found.finding.task.family == "poison":
            raise DeliveryError("connection reset")
        return SENT

    target = scripted(decide=decide)
    pump = plant.pump(target, tries=3)
    plant.tell("a", "poison", "b", "c")
    plant.run(pump, for_s=600)
    assert target.families == ["a", "b", "c"] and not plant.counters.behind
    assert not dead(plant)  # alone with it, the target might as well be down
    for number in range(6):
        plant.tell(f"more-{number}")
        plant.run(pump, for_s=100)
    assert len(target.families) == 9
    (item,) = dead(plant)
    assert item.reason == "connection reset" and item.tries == 3


def test_one_that_the_whole_request_is_refused_for_is_found_out(plant: Any, scripted: Any) -> None:
    """Where a target refuses all for one, they are sent one by one and that one alone is given up."""

    class AllForOne(scripted):  # type: ignore[misc]
        def send(self, found: Any) -> list[Outcome]:
            if any(each.finding.task.family == "bad" for each in found):
                raise DeliveryError("malformed", refused=True)
            return list(super().send(found))

    target = AllForOne()
    pump = plant.pump(target)
    plant.tell("a", "b", "bad", "c", "d")
    plant.run(pump)
    assert target.families == ["a", "b", "c", "d"]
    assert [item.reason for item in dead(plant)] == ["malformed"]


def test_of_two_collectors_one_exports(plant: Any, scripted: Any) -> None:
    """The other takes over when the first lets go, or has not moved for the time of a lease."""
    first, second = scripted(), scripted()
    one, two = plant.pump(first, holder="one"), plant.pump(second, holder="two")
    plant.tell("a")
    plant.run(one)
    plant.run(two, for_s=20)
    plant.run(one)  # alive: the second waits anew
    plant.tell("b")
    plant.run(two, for_s=40)
    assert (first.families, second.families) == (["a"], [])
    plant.run(two, for_s=10)
    assert second.families == ["b"]
    plant.tell("c")
    plant.run(one, for_s=10)  # it was only slow, and finds that it was taken over
    assert first.families == ["a"]
    two.close()
    plant.run(one, for_s=2)
    assert first.families == ["a", "c"]


def test_one_that_was_taken_over_in_the_middle_of_a_send_moves_nothing(plant: Any, scripted: Any) -> None:
    """What it sent then is sent again by the other, under the same id."""
    taken_over = []

    def decide(found: Any) -> Outcome:
        if not taken_over:
            taken_over.append(True)
            plant.now_s += 100
            plant.run(two)
            plant.run(two, for_s=60)
        return SENT

    slow, quick = scripted(decide=decide), scripted()
    one, two = plant.pump(slow, holder="one"), plant.pump(quick, holder="two")
    plant.tell("a")
    plant.run(one)
    assert [each.id for each in slow.taken] == [each.id for each in quick.taken]
    with plant.engine.connect() as connection:
        row = load_export(connection, "hook")
    assert row is not None and row.holder == "two" and row.sent == 1


def test_a_collector_that_was_killed_goes_on_where_it_was(plant: Any, scripted: Any) -> None:
    """A new pump of the same holder begins at once, and repeats at most what was under way."""
    first, second = scripted(max_items=2), scripted()
    one = plant.pump(first)
    plant.tell("a", "b", "c")
    one.step()
    plant.run(plant.pump(second))
    assert first.families + second.families == ["a", "b", "c"]
