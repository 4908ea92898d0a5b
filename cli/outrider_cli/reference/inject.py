"""docs/inject.md: what `outrider inject` takes and does, with its options from the parser that reads them."""

import argparse
from collections.abc import Iterator

from outrider_cdk.rewriting.checks import ACCEPTABLE
from outrider_cli.inject import add_arguments
from outrider_cli.reference.markdown import MADE_BY, page, table

_INTRODUCTION = """\
# `outrider inject`

{made_by}

Puts the sidecar into task definitions, and with `--remove` takes it out again. What else is in a file stays byte for
byte: comments, order, indentation, line ends, short tags such as `!Sub`. Guarding twice changes nothing, and `--remove`
gives the file back that there was. [deploy.md](deploy.md) is the page to begin with.
"""

_SOURCES = """
| source | what becomes of it |
| --- | --- |
| a task definition | JSON or YAML, as `register-task-definition` takes it or `describe-task-definition` prints it; \
with the tag `OutriderManaged=false` among its `tags` it is left alone |
| a CloudFormation template | every `AWS::ECS::TaskDefinition`, in `Fn::ForEach` too, but for those with the tag \
`OutriderManaged=false`; services, task sets, rules and schedules in the template are \
looked at (platform version, ECS Exec) |
| a Copilot manifest | by `taskdef_overrides`, those of environments too; `--depends-on` cannot be had there |
| a Compose file | a sidecar for each service, in its PID and network namespaces, but for those with the label \
`OutriderManaged=false` and those that join another's PID namespace |
| `arn:…:task-definition/…`, `family:revision` | the next revision is registered, with the tags of this one, \
which are not asked; `--update` lets the services that run this one run it |
| `arn:…:service/…` | its definition, and the service is updated; its tags are not asked |
| `--cluster NAME` | every service of the cluster, each definition registered once |
| `--all-clusters` | what is tagged `OutriderManaged=true` in every cluster of the region |
"""

_RULES = """
## What is refused, and what then

Errors say the file, the line, the path, the reason and the remedy, and the file stays as it was. One error in a
document holds all of it back; `--leave-out NAME` goes on without that definition, `--accept CODE` makes an error of
which one knows better a warning: {codes}.

An edit that would change something else with it is refused: what an anchor shares with other places (`*name`, `<<`) or
a function stands for (a list behind `!If`) must be written out first. So is a text that is no document for certain: a
key that is there twice, several documents in one file. A single container behind `!If` stays there and is judged in
both branches. The outcome is read again and compared with what was meant before any of it
is written, and files are replaced whole.

Over a cluster one refusal stops nothing else; the summary says of each service what became of it and why, and names the
definitions that run outside of services. Tags `OutriderManaged=true|false` decide, the closest first: the
definition's, the service's, the cluster's. Without any, `--cluster` includes and `--all-clusters` leaves alone. A
service whose deployments are made by CodeDeploy or from outside gets a revision and is not updated. After an update
nothing is waited for unless `--wait` is given; the deployment's id is printed.

## Exit codes

0: done. 1: with `--check`, something is not guarded. 2: misuse (a name for `--only` or `--leave-out` that is not there,
too), or refused; over a cluster, a service was refused or failed. 77: not possible here (no boto3, no credentials, not
allowed, not reached).
"""


def inject_page() -> str:
    """The whole page."""
    codes = ", ".join(f"`{code}`" for code in sorted(ACCEPTABLE))
    return page(
        _INTRODUCTION.format(made_by=MADE_BY),
        _SOURCES,
        _RULES.format(codes=codes),
        "## Options",
        table(("option", "what"), _options()),
    )


def _options() -> Iterator[tuple[str, str]]:
    """Each option; no help tells of a default that the environment gives."""
    parser = argparse.ArgumentParser(prog="outrider inject", add_help=False)
    add_arguments(parser)
    formatter = parser._get_formatter()
    for action in parser._actions:
        if action.option_strings and action.help not in (None, argparse.SUPPRESS):
            shown = formatter._format_action_invocation(action)
            yield f"`{shown}`", formatter._expand_help(action)
