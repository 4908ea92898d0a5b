"""`outrider lab`: the task on one machine."""

from outrider_lab.cli import add_arguments, run

__all__ = ["add_arguments", "run"]
