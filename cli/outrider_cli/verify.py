"""`outrider verify`: prove from a collector's stored bytes that an agent's record is whole, or say where it is not."""

import argparse
import sys
from pathlib import Path

import msgspec

from outrider_collector.verify import Proof, prove

NOT_WHOLE = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data",
        metavar="DIRECTORY",
        nargs="+",
        help="a collector's data directory, its spool, or a copy of it; of collectors that share a store, all of them",
    )
    parser.add_argument("--agent", action="append", default=[], help="of this agent alone; may be given again")
    parser.add_argument("--json", action="store_true", help="one JSON object for each agent")


def run(arguments: argparse.Namespace) -> int:
    """0 where every record is whole, 1 where one is not."""
    proofs = prove(*map(Path, arguments.data), agents=arguments.agent)
    for proof in proofs:
        if arguments.json:
            sys.stdout.buffer.write(msgspec.json.encode(proof) + b"\n")
        else:
            print(render(proof))
    return 0 if proofs and all(proof.whole for proof in proofs) else NOT_WHOLE


def render(proof: Proof) -> str:
    """One agent, for a person."""
    verdict = "whole" if proof.whole else "NOT WHOLE"
    begins = "from its first batch" if proof.begins else f"from batch {proof.first} on: what was before is not here"
    ends = "to its good-bye" if proof.ends else f"to batch {proof.last}, after which nothing is known"
    lines = [
        f"{proof.agent or '(unreadable)'}  {verdict}  {proof.task_arn}",
        f"    {proof.batches} batches {begins} {ends}; {proof.findings} findings, {proof.events} events",
    ]
    if proof.shed_findings or proof.shed_events:
        shed = f"{proof.shed_findings} findings, {proof.shed_events} events"
        lines.append(f"    shed by the agent itself, and announced by it: {shed}")
    if proof.lost:
        told = ", ".join(f"{number} {sense}" for sense, number in sorted(proof.lost.items()))
        lines.append(f"    lost before it was written, by the agent's own account: {told}")
    lines += [f"    {flaw.kind} at batch {flaw.sequence}: {flaw.detail}  {flaw.place}" for flaw in proof.flaws]
    return "\n".join(lines)
