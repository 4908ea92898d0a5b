"""The reference pages under docs/ that are made from the code: API, detections, fields, inject, modules, settings.

`python -m outrider_cli.reference` writes them into a checkout; a test holds the committed pages to what it would write.
"""

from collections.abc import Callable
from typing import Final

from outrider_cli.reference.api import api_page
from outrider_cli.reference.detections import detections_page
from outrider_cli.reference.fields import fields_page
from outrider_cli.reference.inject import inject_page
from outrider_cli.reference.modules import modules_page
from outrider_cli.reference.settings import settings_page

PAGES: Final[dict[str, Callable[[], str]]] = {
    "api.md": api_page,
    "detections.md": detections_page,
    "fields.md": fields_page,
    "inject.md": inject_page,
    "modules.md": modules_page,
    "settings.md": settings_page,
}
"""File name below docs/, and what makes its text."""
