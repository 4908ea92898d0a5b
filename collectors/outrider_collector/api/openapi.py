"""The OpenAPI 3.1 document, made from the table of operations and the structs they name."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from outrider_collector.answers import STATUS
from outrider_collector.api.operation import Nothing, Operation
from outrider_wire.enrolment import Refusal

VERSION: Final = "1.0.0"
REFS: Final = "#/components/schemas/{name}"

Json = dict[str, Any]

_ALWAYS: Final = ("busy", "store-unavailable")
_WITH_ROLE: Final = ("unauthorized", "forbidden")
_WITH_PARAMETERS: Final = ("bad-request",)
_WITH_BODY: Final = ("bad-request", "bad-content-type", "too-large", "slow-body")


def make_document(operations: Sequence[Operation]) -> Json:
    """The document."""
    kinds = _kinds(operations)
    schemas, components = msgspec.json.schema_components([kind for _, kind in kinds], ref_template=REFS)
    found = {key: schema for (key, _), schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, Json] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, found)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Outrider collector",
            "version": VERSION,
            "description": "Findings, agents and what is decided about them. Roles: read, triage, admin; each may"
            " do all that those before it may.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def codes_of(operation: Operation) -> list[str]:
    """The refusal codes that an operation may answer with."""
    codes = {*_ALWAYS, *operation.refusals}
    if operation.role is not None:
        codes |= {*_WITH_ROLE, "token-revoked", "token-expired"}
    if operation.key is not None or operation.query is not Nothing or operation.serve is None:
        codes |= {*_WITH_PARAMETERS}
    if operation.body is not None or operation.consumes != "application/json":
        codes |= {*_WITH_BODY}
    return sorted(codes)


def _kinds(operations: Sequence[Operation]) -> list[tuple[Any, Any]]:
    kinds: list[tuple[Any, Any]] = [("refusal", Refusal)]
    for each in operations:
        kinds += [((each.name, "answer"), each.answer)]
        if each.body is not None:
            kinds.append(((each.name, "body"), each.body))
        if each.key is not None:
            kinds.append(((each.name, "key"), each.key))
        kinds += [((each.name, field.encode_name), field.type) for field in msgspec.structs.fields(each.query)]
    return kinds


def _operation(operation: Operation, found: dict[Any, Json]) -> Json:
    made: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.path.strip("/").split("/")[-1 if operation.path.count("/") == 1 else 1].partition("{")[0]],
        "parameters": _parameters(operation, found),
        "responses": _responses(operation, found),
    }
    if operation.role is not None:
        made |= {"security": [{"token": []}], "x-role": operation.role}
    if operation.body is not None:
        schema = found[operation.name, "body"]
        made["requestBody"] = {"required": True, "content": {operation.consumes: {"schema": schema}}}
    elif operation.consumes != "application/json":
        opaque = {"type": "string", "format": "binary"}
        made["requestBody"] = {"required": True, "content": {operation.consumes: {"schema": opaque}}}
    return made


def _parameters(operation: Operation, found: dict[Any, Json]) -> list[Json]:
    parameters: list[Json] = []
    if operation.key is not None:
        name = operation.path.partition("{")[2].partition("}")[0]
        parameters.append({"name": name, "in": "path", "required": True, "schema": found[operation.name, "key"]})
    for field in msgspec.structs.fields(operation.query):
        schema = dict(found[operation.name, field.encode_name])
        if not field.required and isinstance(field.default, str | int | float | bool) and field.default != "":
            schema["default"] = field.default
        parameters.append({"name": field.encode_name, "in": "query", "required": field.required, "schema": schema})
    return parameters


def _responses(operation: Operation, found: dict[Any, Json]) -> Json:
    good = {operation.media: {"schema": found[operation.name, "answer"]}}
    responses: Json = {str(operation.status): {"description": operation.summary, "content": good}}
    by_status: dict[int, list[str]] = {}
    for code in codes_of(operation):
        by_status.setdefault(STATUS.get(code, 400), []).append(code)
    for status, codes in sorted(by_status.items()):
        content = {"application/json": {"schema": found["refusal"]}}
        responses[str(status)] = {"description": ", ".join(codes), "content": content}
    return responses
