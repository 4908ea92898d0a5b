"""`python -m outrider_sidecar`: what the image starts."""

import os
import sys

from outrider_sidecar.app import run_sidecar
from outrider_sidecar.linux import prctl
from outrider_sidecar.log import start_logging
from outrider_sidecar.settings import load
from outrider_wire.errors import ConfigError


def main() -> int:
    """Read the settings and guard; the exit code."""
    prctl.set_dumpable(False)  # before anything secret is in memory
    start_logging()
    try:
        settings, _ = load(os.environ)
        return run_sidecar(settings)
    except ConfigError as error:
        print(f"outrider: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
