"""The tag that says whether something is to be guarded, wherever something can bear it."""

from typing import Final

MANAGED_TAG: Final = "OutriderManaged"
"""A tag on a cluster, a service or a definition: `true` includes, `false` leaves alone."""
