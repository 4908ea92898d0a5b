"""The OpenAPI document, put to the running collector: what it says is what happens, whatever is asked."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from api_stand import ADMIN, Stand, Teller, make_finding, make_process

from outrider_collector.answers import STATUS

HOOKS = """
import schemathesis

@schemathesis.serializer("application/vnd.outrider.batch", "application/vnd.outrider.enrol")
def raw(context, value):
    return value if isinstance(value, bytes) else str(value).encode()
"""

CONFIG = """
hooks = "{hooks}"

# A cursor that was never given, or a time that has passed, is 400 although its form is right.
[checks]
positive_data_acceptance.enabled = false
"""


def test_the_document_holds_under_fuzzing(stand: Stand, teller: Teller, tmp_path: Path) -> None:
    """Every operation, with good and bad values everywhere, also after one another: no 500, each answer as documented.

    The stream, which does not end, has tests of its own.
    """
    assert teller.tell(*(make_finding(name, process=make_process(name)) for name in "abc")).status == 200
    (tmp_path / "hooks.py").write_text(HOOKS)
    (tmp_path / "st.toml").write_text(CONFIG.format(hooks=tmp_path / "hooks.py"))
    program = Path(sys.executable).with_name("schemathesis")
    command = [
        program, "--config-file", tmp_path / "st.toml", "run", f"{stand.url}/v1/openapi.json",
        "-H", f"Authorization: Bearer {ADMIN}", "--phases", "coverage,fuzzing,stateful", "--max-examples", "5",
        "--exclude-path", "/v1/findings/stream", "--continue-on-failure", "--generation-deterministic",
        "--request-timeout", "10",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert stand.ask("GET", "/healthz").status == 200


def test_every_operation_is_described(stand: Stand) -> None:
    """With a summary, its role, what it answers, and refusals of one shape."""
    document = stand.ask("GET", "/v1/openapi.json", role=None).json
    assert document["openapi"] == "3.1.0"
    for path, operation in operations(document):
        assert operation["summary"], path
        assert ("security" in operation) == ("x-role" in operation), path
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Refusal"}, path


def test_no_name_of_a_schema_is_ambiguous(stand: Stand) -> None:
    """Two structs of one name would be told apart by their modules, which are nobody's business."""
    document = stand.ask("GET", "/v1/openapi.json", role=None).json
    assert not [name for name in document["components"]["schemas"] if "outrider" in name]


def test_every_refusal_code_has_a_status(stand: Stand) -> None:
    """Codes that an operation is said to answer with are known by their status, or are of 400."""
    document = stand.ask("GET", "/v1/openapi.json", role=None).json
    for path, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) > 400:
                codes = response["description"].split(", ")
                assert {STATUS[code] for code in codes} == {int(status)}, path


def operations(document: Any) -> list[tuple[str, Any]]:
    """Path and description of each."""
    return [(path, each) for path, methods in document["paths"].items() for each in methods.values()]
