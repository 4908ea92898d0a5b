"""The file watch: inotify through /proc/PID/root over the places of a container that matter."""

from outrider_sidecar.sensors.files.sensor import FileSensor, probe_inotify

__all__ = ["FileSensor", "probe_inotify"]
