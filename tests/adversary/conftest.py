"""What these tests share: tasks with the real sidecar, and knowing when it guards."""

from lab_tasks import guarding, kill_all, lab_machine  # noqa: F401  (fixtures)
