"""What tells that the collectors, or those whom they hear, are not well: metrics of the log, and alarms.

The collector's log holds two kinds of line: findings, one JSON object each (the export to standard output), and its own
words, `TIME LEVEL NAME …`. Filters count both; no permission to write metrics is needed.
"""

from collections.abc import Sequence
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_sns as sns
from constructs import Construct

NAMESPACE: Final = "Outrider"
PATTERNS: Final = {
    "FindingsHigh": '{ $.finding.severity = "HIGH" }',
    "FindingsMedium": '{ $.finding.severity = "MEDIUM" }',
    "FindingsLow": '{ $.finding.severity = "LOW" }',
    "AgentsSilent": '{ $.finding.type = "Outrider:Integrity/AgentSilent" }',
    "SightLost": '{ $.finding.type = "Outrider:Integrity/SightLost" }',
    "Errors": "[day, time, level = ERROR || level = CRITICAL, ...]",
}
"""Metric to the filter of what is counted."""

MINUTE: Final = Duration.minutes(1)
FIVE_MINUTES: Final = Duration.minutes(5)


def count_lines(scope: Construct, log_group: logs.ILogGroup, *, name: str) -> dict[str, cloudwatch.Metric]:
    """A metric for each of PATTERNS, told from those of other collectors by `name`."""
    metrics = {}
    for metric, pattern in PATTERNS.items():
        found = logs.MetricFilter(
            scope,
            metric,
            log_group=log_group,
            filter_pattern=logs.FilterPattern.literal(pattern),
            metric_namespace=f"{NAMESPACE}/{name}",
            metric_name=metric,
            default_value=0,
        )
        metrics[metric] = found.metric(statistic="Sum", period=FIVE_MINUTES)
    return metrics


def make_alarms(
    scope: Construct,
    *,
    services: Sequence[ecs.FargateService],
    targets: elb.ApplicationTargetGroup,
    counted: dict[str, cloudwatch.Metric],
    database: rds.DatabaseCluster | None,
    topic: sns.ITopic | None,
) -> dict[str, cloudwatch.Alarm]:
    """The alarms by name; each tells the topic when it begins and when it ends."""
    made: dict[str, cloudwatch.Alarm] = {}

    def alarm(name: str, metric: cloudwatch.IMetric, over: float, *, periods: int, what: str) -> None:
        one = cloudwatch.Alarm(
            scope,
            f"{name}Alarm",
            metric=metric,
            threshold=over,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=periods,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=what,
        )
        if topic is not None:
            one.add_alarm_action(actions.SnsAction(topic))
            one.add_ok_action(actions.SnsAction(topic))
        made[name] = one

    unhealthy = targets.metrics.unhealthy_host_count(statistic="Maximum", period=MINUTE)
    alarm("Unhealthy", unhealthy, 0, periods=5, what="An Outrider collector does not answer at /healthz")
    refused = targets.metrics.http_code_target(elb.HttpCodeTarget.TARGET_5XX_COUNT, statistic="Sum", period=MINUTE)
    alarm("Refusing", refused, 10, periods=5, what="Outrider collectors answer 5xx: look at /readyz and their log")
    alarm("Silent", counted["AgentsSilent"], 0, periods=1, what="A sidecar fell silent without a good-bye")
    alarm("Errors", counted["Errors"], 0, periods=3, what="An Outrider collector writes errors to its log")
    for number, service in enumerate(services, 1):
        memory = service.metric_memory_utilization(statistic="Maximum", period=FIVE_MINUTES)
        alarm(f"Memory{number}", memory, 90, periods=3, what="An Outrider collector is about to run out of memory")
    if database is not None:
        used = database.metric_acu_utilization(period=FIVE_MINUTES)
        alarm("Database", used, 90, periods=6, what="Outrider's database is at the most it may grow to")
    return made
