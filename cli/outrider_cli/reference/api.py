"""docs/api.md: the operations of the collector's API, from the table that serves them."""

import msgspec

from outrider_cli.reference.markdown import MADE_BY, page, table
from outrider_collector.api.openapi import codes_of
from outrider_collector.api.operation import Nothing, Operation
from outrider_collector.api.table import DESCRIBED
from outrider_collector.export.operations import OPERATIONS as EXPORTS
from outrider_collector.lists.operations import DESCRIBED as LISTS

_INTRODUCTION = """\
# The collector's API

{made_by}

JSON over HTTP, versioned by its path. `GET /v1/openapi.json` is the whole of it as an OpenAPI 3.1 document.

    curl -H "Authorization: Bearer $OUTRIDER_TOKEN" https://collector.example:8440/v1/findings?severity=HIGH

**Roles.** `read` asks, `triage` decides on findings, `admin` changes what is decided by; each may do all that those
before it may. Tokens are made with `outrider tokens create --kind read|triage|admin` or `POST /v1/tokens`, shown once,
and kept as a digest; what is revoked ends with the next request. `admin_token` of the settings is one to begin with.

**Pages.** `next` of an answer is the `cursor` of the question for the page after it, and empty at the end.

**Refusals** are `{{"code": …, "detail": …}}`: the code for programs, the detail for people. `busy` (429) and
`store-unavailable` (503) come with Retry-After.

**The stream** sends an event for each change of a finding: its id is the number of the change, its data the finding as
it is now. A comment comes after 15 s of silence. A client that comes back with Last-Event-ID misses nothing.

**The audit log** has every change of a finding, a rule, a list by hand, a token and an agent's key: who, when, before
and after.
"""


_ALL = (*DESCRIBED, *LISTS, *EXPORTS)


def api_page() -> str:
    """The whole page."""
    rows = [(f"`{each.method} {each.path}`", each.role or "", each.summary) for each in _ALL]
    details = [_detail(each) for each in _ALL]
    return page(
        _INTRODUCTION.format(made_by=MADE_BY),
        table(("operation", "role", "what"), rows),
        "\n## Parameters, bodies and refusals\n",
        *filter(None, details),
    )


def _detail(operation: Operation) -> str:
    lines = [f"### {operation.method} {operation.path}", ""]
    if operation.query is not Nothing:
        names = [f"`{field.encode_name}`" for field in msgspec.structs.fields(operation.query)]
        lines.append(f"- parameters: {', '.join(names)}")
    if operation.body is not None:
        names = [f"`{field.encode_name}`" for field in msgspec.structs.fields(operation.body)]
        lines.append(f"- body: {', '.join(names)}")
    elif operation.consumes != "application/json":
        lines.append(f"- body: `{operation.consumes}`")
    lines.append(f"- refusals: {', '.join(f'`{code}`' for code in codes_of(operation))}")
    return "\n".join([*lines, ""])
