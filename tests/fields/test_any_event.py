"""Fields answer any question about any event: with a value of their type, or with nothing; they never raise."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transcripts import NS, Transcript

from outrider_rules import Field
from outrider_sidecar.fields.catalogue import CATALOGUE
from outrider_sidecar.fields.context import Context
from outrider_sidecar.world.kinds import EVENT_TYPES, event_type
from outrider_wire import events
from outrider_wire.events import Event, FileFacts, ProcessId

TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool, "ip": str}
INDEXES = ("0", "1", "7", "99999999", "²", "x", "", "/etc", "[", "*", "LD_PRELOAD")

st.register_type_strategy(ProcessId, st.builds(ProcessId, st.integers(1, 4), st.just(5)))
st.register_type_strategy(
    FileFacts,
    st.builds(
        FileFacts,
        st.sampled_from(("", "/", "/etc/shadow", "/memfd:x (deleted)", "x", "/a/b\n")) | st.text(max_size=8),
        mode=st.sampled_from((0, 0o100755, 0o40755, 0o120777, 0o10600, 0o104755)),
        size=st.integers(0, 3),
        ino=st.integers(0, 3),
        ctime_ns=st.integers(0, 1 << 62),
        mtime_ns=st.integers(0, 1 << 62),
        nlink=st.integers(0, 2),
    ),
)
ADDRESSES = st.sampled_from(("10.0.0.5", "127.0.0.1", "::1", "169.254.169.254", "2001:db8::1", ""))
TIMES = st.integers(0, 1 << 62)
PROCESSES = st.builds(ProcessId, st.integers(1, 4), st.just(5))
MAYBE = st.none() | PROCESSES


def _executions() -> st.SearchStrategy[Event]:
    return st.builds(
        events.ProcessExecuted,
        at_ns=TIMES,
        process=PROCESSES,
        parent=MAYBE,
        argv=st.lists(st.text(max_size=5), max_size=3).map(tuple),
        env=st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2),
        uid=st.integers(-1, 3),
        gid=st.integers(-1, 3),
        mnt_ns=st.sampled_from((0, NS)),
        script=st.none() | st.from_type(FileFacts),
    )


ANY_EVENT: st.SearchStrategy[Event] = st.one_of(
    _executions(),
    st.builds(events.ProcessStarted, TIMES, PROCESSES, MAYBE, mnt_ns=st.sampled_from((0, NS))),
    st.builds(events.ProcessExited, TIMES, PROCESSES),
    st.builds(events.ProcessReleased, TIMES, PROCESSES, st.text(max_size=3)),
    st.builds(
        events.FileChanged,
        TIMES,
        file=st.from_type(FileFacts),
        mnt_ns=st.sampled_from((0, NS)),
        actor=MAYBE,
    ),
    st.builds(events.LibraryLoaded, TIMES, PROCESSES, st.from_type(FileFacts), mnt_ns=st.sampled_from((0, NS))),
    st.builds(events.ConnectionOpened, TIMES, ADDRESSES, st.integers(0, 65535), ADDRESSES, st.integers(0, 65535)),
    st.builds(events.NameQueried, TIMES, st.text(max_size=5), st.just("A"), server=ADDRESSES, owner=MAYBE),
    st.builds(events.NameResolved, TIMES, st.text(max_size=5), st.just("A"), st.tuples(ADDRESSES)),
    st.builds(events.ServerNamed, TIMES, st.text(max_size=5), ADDRESSES, st.just(1), ADDRESSES, st.just(443)),
    st.builds(events.StdioTied, TIMES, PROCESSES),
    st.builds(
        events.SyscallMade,
        TIMES,
        PROCESSES,
        st.sampled_from(("ptrace", "socket", "dup", "setns", "odd")),
        st.dictionaries(st.sampled_from(("request", "domain", "path", "fd.type", "mode")), st.text(max_size=5)),
        st.integers(-133, 3),
    ),
    st.builds(events.SightLost, TIMES, st.text(max_size=3), st.text(max_size=3)),
)


def _check(field: Field, value: Any) -> None:
    if value is None:
        return
    kind = TYPES[field.element]
    elements = value if field.is_list else [value]
    if field.is_list:
        assert isinstance(value, list | tuple), field.shown
    for element in elements:
        assert isinstance(element, kind), f"{field.shown} gave {element!r}"
        assert kind is bool or not isinstance(element, bool), f"{field.shown} gave {element!r}"


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(story=st.lists(ANY_EVENT, min_size=1, max_size=6))
def test_every_field_answers_with_its_type_or_with_nothing(story: list[Event]) -> None:
    """Whatever happened before, every field of every event, plain or indexed by anything, has its declared type."""
    world = Transcript().world
    for event in story:
        for fact in world.apply(event):
            context = Context(fact, world)
            for field in CATALOGUE:
                if field.indexed:
                    for index in INDEXES:
                        _check(field, field.get(context, index))
                else:
                    _check(field, field.get(context))


@settings(deadline=None, max_examples=60)
@given(event=ANY_EVENT)
def test_a_field_has_no_value_for_types_it_does_not_name(event: Event) -> None:
    """What `events` leaves out is left out rightly: a rule would never see the value, so there is none but `false`."""
    world = Transcript().world
    context = Context(world.apply(event)[0], world)
    kind = event_type(context.event)
    for field in CATALOGUE:
        if field.events is not None and kind not in field.events and not field.indexed:
            assert field.get(context) in (None, False, [], ()), field.shown


def test_the_types_that_fields_name_are_types_of_events() -> None:
    """A misspelt type in `events` would make a field dead."""
    rare = {"socket", "dup", "listen", "recv", "bind"}
    for field in CATALOGUE:
        assert (field.events or frozenset()) <= EVENT_TYPES | rare, field.shown


def test_every_field_says_what_it_is() -> None:
    """Each has a sentence, and those of nanoseconds and bytes their unit."""
    for field in CATALOGUE:
        assert field.doc.strip().endswith((".", "…")), field.shown
        assert field.unit or not field.name.endswith(("time", "duration", "_ts")) or field.type == "str", field.shown
