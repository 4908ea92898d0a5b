"""A spool to tell into, and OCSF's own schema to hold the lake's records against."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pytest
from ocsf_json_schema import OcsfJsonSchema, OcsfJsonSchemaEmbedded, get_ocsf_schema

from outrider_collector.lake.classes import BY_UID, PROFILES
from outrider_collector.lake.nesting import prune
from outrider_collector.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool."""
    return Spool(tmp_path / "spool")


@cache
def validator_of(class_uid: int) -> jsonschema.Draft202012Validator:
    """OCSF's schema of a class."""
    schema = _ocsf().get_class_schema(BY_UID[class_uid].name, list(PROFILES))
    return jsonschema.Draft202012Validator(schema)


@cache
def _ocsf() -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(OcsfJsonSchema(get_ocsf_schema("1.3.0")))


@pytest.fixture
def validate() -> Callable[[pa.Table], list[dict[str, Any]]]:
    """Holds each record of a table against OCSF 1.3; the records."""

    def check(table: pa.Table) -> list[dict[str, Any]]:
        records = [prune(row) for row in table.to_pylist()]
        for record in records:
            wrong = validator_of(record["class_uid"]).iter_errors(record)
            assert not [f"{'/'.join(map(str, each.path))}: {each.message[:200]}" for each in wrong], record
        return records

    return check
