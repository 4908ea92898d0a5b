"""The log: one JSON object a line on standard error. Text of the guarded task is escaped by JSON itself."""

import json
import logging
import sys
from typing import Any

from outrider_wire.timestamps import to_rfc3339

LOG = logging.getLogger("outrider")


class JsonLines(logging.Formatter):
    """`{"at": …, "level": …, "message": …, …}`; what is given as `extra={"facts": {…}}` is added."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": to_rfc3339(int(record.created * 1e9)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line |= getattr(record, "facts", {})
        return json.dumps(line, default=str)


def start_logging(*, quiet: bool = False) -> None:
    """Send the log to standard error; `quiet` keeps to warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    LOG.handlers = [handler]
    LOG.propagate = False
    LOG.setLevel(logging.WARNING if quiet else logging.INFO)


def say(message: str, *, level: int = logging.INFO, **facts: Any) -> None:
    """One line with facts."""
    LOG.log(level, message, extra={"facts": facts})
