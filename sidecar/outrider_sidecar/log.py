"""The log: one JSON object a line on standard error. Text of the guarded task is escaped by JSON itself.

Not the `logging` package: it holds 0.7 MiB in a process that writes a few lines a day.
"""

import json
import sys
import time
from typing import Any

from outrider_wire.timestamps import to_rfc3339

_started = False


def start_logging() -> None:
    """From now on what is said goes to standard error; before, it goes nowhere."""
    global _started
    _started = True


def say(message: str, **facts: Any) -> None:
    """`{"at": …, "level": "info", "message": …, …}` in one write, with these facts."""
    if not _started:
        return
    line = {"at": to_rfc3339(time.time_ns()), "level": "info", "message": message, **facts}
    try:
        sys.stderr.write(json.dumps(line, default=str) + "\n")
        sys.stderr.flush()
    except OSError:
        pass  # nobody reads it any more: that is no reason to stop
