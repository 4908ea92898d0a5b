"""All fields, in one list. Adding a field is a function and a line; a name given twice raises at import."""

from outrider_rules.catalogue import Catalogue
from outrider_sidecar.fields import (
    ancestry,
    arguments,
    containers,
    descriptors,
    drift,
    event,
    files,
    listed,
    names,
    people,
    process,
    sockets,
)

CATALOGUE = Catalogue(
    (
        *event.FIELDS,
        *arguments.FIELDS,
        *process.FIELDS,
        *ancestry.FIELDS,
        *drift.FIELDS,
        *people.FIELDS,
        *containers.FIELDS,
        *descriptors.FIELDS,
        *files.FIELDS,
        *sockets.FIELDS,
        *names.FIELDS,
        *listed.FIELDS,
    )
)
