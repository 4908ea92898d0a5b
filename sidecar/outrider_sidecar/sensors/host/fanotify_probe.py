"""Finding out whether files can be watched by fanotify here, by doing it."""

import os
from typing import Final

from outrider_sidecar.linux import fanotify
from outrider_sidecar.linux.fanotify import Fanotify
from outrider_sidecar.linux.handles import handle_of, open_handle
from outrider_sidecar.sensors import Capability
from outrider_sidecar.sensors.host import names, opens
from outrider_sidecar.sensors.host.queues import NAMES_FLAGS, OPENS_FLAGS
from outrider_sidecar.sensors.host.searches import SENSE, SENSOR
from outrider_wire.errors import Unavailable

REMEDY: Final = "run as root of the machine (CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH), on Linux 5.17 or later"
PLACES: Final = (b"/", b"/dev/shm", b"/tmp")
"""Tried in this order: a root that is an overlay takes no mark by names, and says nothing of what lies below it."""


def probe_fanotify() -> Capability:
    """Open both groups, mark a file system in each and decode a handle; all is given back."""
    try:
        with_files, with_names = Fanotify(OPENS_FLAGS), None
        try:
            with_names = Fanotify(NAMES_FLAGS, event_flags=os.O_RDONLY)
            with_files.mark(b"/", opens.MASK, fanotify.MARK_FILESYSTEM)
            refused = _mark_by_names(with_names)
        finally:
            with_files.close()
            if with_names is not None:
                with_names.close()
    except Unavailable as error:
        return Capability(SENSE, SENSOR, False, error.reason, error.remedy)
    except OSError as error:
        return Capability(SENSE, SENSOR, False, f"a file system mark was refused: {error.strerror}", REMEDY)
    if refused:
        return Capability(SENSE, SENSOR, False, f"a mark by names was refused: {refused}", REMEDY)
    return Capability(SENSE, SENSOR, True, "two groups were opened and marked a file system")


def _mark_by_names(group: Fanotify) -> str:
    """Why no file system could be marked and asked by handle; empty where one could."""
    refused = ""
    for place in PLACES:
        try:
            group.mark(place, names.MASK, fanotify.MARK_FILESYSTEM)
            _decode(place)
        except OSError as error:
            refused = refused or os.strerror(error.errno or 0)
            continue
        return ""
    return refused


def _decode(place: bytes) -> None:
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(open_handle(fd, handle_of(fd)))
    finally:
        os.close(fd)
