"""The sidecar: sensors, world, fields, engine, journal and shipper."""

from typing import Final

VERSION: Final = "0.1.0"
SOFTWARE: Final = f"outrider {VERSION}"
