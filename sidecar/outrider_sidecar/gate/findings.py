"""What is told of refusals: the rule's own finding, that says so; and that refusing has ended."""

from typing import Final

import msgspec

from outrider_rules import Rule
from outrider_sidecar.fields.context import Context
from outrider_sidecar.gate.options import GateOptions
from outrider_sidecar.judgement import finding_id, make_finding
from outrider_sidecar.world.world import World
from outrider_wire.findings import Finding
from outrider_wire.timestamps import to_rfc3339

_SAID: Final = {
    False: ("Refused", "refused: it did not run"),
    True: ("Would have been refused", "dry run: it was let go, and would have been refused"),
}


def refusal_finding(rule: Rule, context: Context, *, started_by: str, dry_run: bool, agent: str) -> Finding:
    """The finding of a rule that refused the start of a program, without what the start would have set."""
    finding = make_finding(rule, context, agent=agent)
    word, said = _SAID[dry_run]
    unknown = {
        operand.shown
        for top in (*rule.operands, *rule.output.operands)
        for operand in top.sources
        if operand.field.set_by_exec
    }
    evidence = {name: value for name, value in finding.evidence.items() if name not in unknown}
    process = context.process.id if context.process else None
    return msgspec.structs.replace(
        finding,
        id=finding_id(agent, f"{word}/{rule.name}", context.event.at_ns, process),
        title=f"{word}: {finding.title}",
        description=f"{word} before it ran. {finding.description}",
        evidence=evidence | {"response": said, "started_by": started_by},
        tags=[*finding.tags, "response"],
    )


def disarmed_finding(world: World, options: GateOptions, *, at_ns: int, agent: str) -> Finding:
    """More starts were to be refused in a minute than is believed: nobody is refused any more."""
    return Finding(
        id=finding_id(agent, "ResponseDisarmed", at_ns, None),
        type="Outrider:Integrity/ResponseDisarmed",
        rule="Response Disarmed",
        severity="HIGH",
        title="Programs are no longer refused: too many would have been in a minute",
        at=to_rfc3339(at_ns),
        process=None,
        container=None,
        evidence={"respond_limit": options.limit, "dry_run": options.dry_run},
        attribution="exact",
        description=f"Rules with `respond: deny` held more than {options.limit} times in a minute; starts are let go.",
        remedy=(
            "Look at the refusals of that minute. Ordinary work: narrow the rule or name it in expected_drift. An "
            "intruder who spends the limit: stop the task. Refusing begins again when Outrider is started anew."
        ),
        tags=["integrity", "response"],
        task=world.containers.task,
        agent=agent,
    )
