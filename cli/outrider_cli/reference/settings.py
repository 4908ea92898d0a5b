"""docs/settings.md: the settings of the sidecar and the collector, from their records and what is written there."""

import ast
import inspect
import re
import textwrap
from typing import Any

import msgspec

from outrider_cli.reference.markdown import MADE_BY, one_line, page, table
from outrider_collector import settings as collector
from outrider_sidecar import settings as sidecar

_INTRODUCTION = """\
# Settings

{made_by}

## The sidecar

From the environment as `OUTRIDER_` and the name in capitals, or from a TOML file that `OUTRIDER_CONFIG` or
`outrider run --config` names; the environment wins. Lists in the environment are separated by commas, `expected_drift`
is JSON there. A name that is not known is refused, with the nearest one that is. `outrider run --print-settings` shows
each value and where it comes from.
"""

_DRIFT = """
`expected_drift` is a list of tables; all parts that are given must hold, and a part left out always does:

```toml
[[expected_drift]]
container = "app"                  # the container's name
directory = "/var/cache/plugins"   # where the new file lies
ancestor = "/usr/bin/plugin-host"  # the executable of an ancestor, itself of the image
```
"""

_COLLECTOR = """
## The collector

From the environment as `OUTRIDER_COLLECTOR_` and the name in capitals, or as options (`outrider collector -- --listen
127.0.0.1:8440`), which win. A token is required.
"""


def settings_page() -> str:
    """The whole page."""
    return page(
        _INTRODUCTION.format(made_by=MADE_BY),
        _table(sidecar.Settings, notes_beside(sidecar.Settings)),
        _DRIFT,
        _COLLECTOR,
        _table(collector.Settings, notes_within(collector.Settings)),
    )


def notes_beside(kind: type[Any]) -> dict[str, str]:
    """What stands below each field of a record's source as a string by itself."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    notes: dict[str, str] = {}
    name = ""
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif name and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            notes[name], name = str(node.value.value), ""
    return notes


def notes_within(kind: type[Any]) -> dict[str, str]:
    """What a record's docstring says of its fields, as `name: text` or `name, name: text`."""
    names = "|".join(kind.__struct_fields__)
    pieces = re.split(rf"(?:^|\s)((?:(?:{names}), )*(?:{names})): ", inspect.getdoc(kind) or "")
    return {name: text for heads, text in zip(pieces[1::2], pieces[2::2], strict=True) for name in heads.split(", ")}


def _table(kind: type[Any], notes: dict[str, str]) -> str:
    rows = [(f"`{f.name}`", _shown(f.default), one_line(notes.get(f.name, ""))) for f in msgspec.structs.fields(kind)]
    return table(("setting", "default", "what"), rows)


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "`on`" if default else "`off`"
    return f"`{default}`" if default not in ("", ()) else ""
