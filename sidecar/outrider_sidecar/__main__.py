"""`python -m outrider_sidecar`: what the image starts."""

import os
import sys
from collections.abc import Sequence

from outrider_sidecar.app import run_sidecar
from outrider_sidecar.linux import prctl
from outrider_sidecar.log import start_logging
from outrider_sidecar.settings import load
from outrider_wire.errors import ConfigError, Unavailable


def main(arguments: Sequence[str] = ()) -> int:
    """Read the settings and guard; the exit code."""
    prctl.set_dumpable(False)  # before anything secret is in memory
    if arguments:
        print("outrider_sidecar takes no arguments: its settings are OUTRIDER_* and OUTRIDER_CONFIG", file=sys.stderr)
        return 2
    start_logging()
    try:
        settings, _ = load(os.environ)
        return run_sidecar(settings)
    except ConfigError as error:
        print(f"outrider: {error}", file=sys.stderr)
        return 2
    except Unavailable as error:
        print(f"outrider: not possible here: {error}", file=sys.stderr)
        return 77


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
