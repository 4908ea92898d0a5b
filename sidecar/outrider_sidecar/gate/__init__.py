"""The gate: rules with `respond: deny` refuse the start of a program in a guarded container, before it runs.

Two ends. The gate is a process of its own beside the engine, asked by the kernel (`decider`); the engine's side judges
what the gate cannot say by itself (`Response`). They talk over a pair of sockets made before the forks, so that either
may die and be started anew. Whatever fails, stands or is late lets the program start.
"""

from outrider_sidecar.gate.decider import run_gate
from outrider_sidecar.gate.options import GateOptions, Pair, gate_options, open_pair, probe_gate
from outrider_sidecar.gate.response import Response
from outrider_sidecar.heartbeat import Heartbeat
from outrider_sidecar.supervisor import Sight

__all__ = ["GateOptions", "Pair", "Response", "gate_options", "gate_sight", "open_pair", "probe_gate", "run_gate"]


def gate_sight(options: GateOptions, pair: Pair) -> Sight:
    """The gate as the supervisor starts it; it feeds no pipe."""

    def decide(_pipe_fd: int, heartbeat: Heartbeat, supervisor_pid: int, generation: int) -> int:
        return run_gate(options, pair, heartbeat, supervisor_pid=supervisor_pid, generation=generation)

    return decide
