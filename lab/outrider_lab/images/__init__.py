"""Our images, built for real and run as a task: podman with a store of its own, on a base that is made here.

No registry is asked for an image. `podman.py` is the engine, `base.py` makes the base, `building.py` builds the
Dockerfile as it is, `pod.py` runs a task, and `victim.py` is the program in it that can be told to do wrong.
"""

from outrider_lab.images.base import NAME as BASE
from outrider_lab.images.base import make_base
from outrider_lab.images.building import COLLECTOR, SIDECAR, build
from outrider_lab.images.pod import Pod
from outrider_lab.images.podman import Podman, check_podman

__all__ = ["BASE", "COLLECTOR", "SIDECAR", "Pod", "Podman", "build", "check_podman", "make_base"]
