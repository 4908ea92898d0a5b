"""docs/fields.md: every field a rule may use, from the catalogue."""

from itertools import groupby

from outrider_cli.reference.markdown import MADE_BY, page, table
from outrider_rules import Field
from outrider_sidecar.fields.catalogue import CATALOGUE

_INTRODUCTION = """\
# Fields

{made_by}

A field is one named fact about an event. Names are Falco's where Falco has the field. A field that an event does not
have is absent: every comparison with it is false (see [rules.md](rules.md)). `events` are the values of `evt.type` that
can have the field; empty means all. `outrider fields` prints this list, `outrider fields --json` gives it to programs.
"""


def fields_page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION.format(made_by=MADE_BY)]
    for family, fields in groupby(sorted(CATALOGUE, key=lambda field: field.shown), key=_family):
        parts += [f"\n## {family}\n", table(("field", "type", "what", "from", "events"), map(_row, fields))]
    return page(*parts)


def _family(field: Field) -> str:
    return field.name.partition(".")[0]


def _row(field: Field) -> tuple[str, ...]:
    doc = f"{field.doc} Unit: {field.unit}." if field.unit else field.doc
    events = ", ".join(sorted(field.events)) if field.events is not None else ""
    return f"`{field.shown}`", field.type, doc, field.source, events
