"""All fields, in one list. Adding a field is a function and a line; a name given twice raises at import."""

from outrider_rules.catalogue import Catalogue
from outrider_sidecar.fields import event, files, network, process

CATALOGUE = Catalogue((*event.FIELDS, *process.FIELDS, *files.FIELDS, *network.FIELDS))
