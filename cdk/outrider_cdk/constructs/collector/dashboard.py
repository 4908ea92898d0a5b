"""One page that shows at a glance what is found, who is heard, and how the collectors do."""

from collections.abc import Mapping, Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_rds as rds
from constructs import Construct

WIDTH = 8
"""Three graphs in a row of 24."""


def make_dashboard(
    scope: Construct,
    *,
    counted: Mapping[str, cloudwatch.Metric],
    alarms: Mapping[str, cloudwatch.Alarm],
    targets: elb.ApplicationTargetGroup,
    services: Sequence[ecs.FargateService],
    database: rds.DatabaseCluster | None,
) -> cloudwatch.Dashboard:
    """The alarms on top; findings, agents and load below."""
    dashboard = cloudwatch.Dashboard(scope, "Dashboard", default_interval=Duration.days(1))
    dashboard.add_widgets(
        cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms.values()), width=24, height=3)
    )
    severities = [counted[name] for name in ("FindingsHigh", "FindingsMedium", "FindingsLow")]
    dashboard.add_widgets(
        _graph("Findings, new or changed", *severities),
        _graph("Agents that fell silent, sight that was lost", counted["AgentsSilent"], counted["SightLost"]),
        _graph("Errors in the collectors' log", counted["Errors"]),
    )
    requests = targets.metrics
    dashboard.add_widgets(
        _graph("Requests", requests.request_count(statistic="Sum")),
        _graph(
            "Answers 4xx and 5xx",
            requests.http_code_target(elb.HttpCodeTarget.TARGET_4XX_COUNT, statistic="Sum"),
            requests.http_code_target(elb.HttpCodeTarget.TARGET_5XX_COUNT, statistic="Sum"),
        ),
        _graph("Time to answer, p99", requests.target_response_time(statistic="p99")),
    )
    last: list[cloudwatch.IWidget] = [
        _graph("CPU of the collectors, %", *(service.metric_cpu_utilization() for service in services)),
        _graph("Memory of the collectors, %", *(service.metric_memory_utilization() for service in services)),
    ]
    if database is not None:
        last.append(_graph("Capacity of the database in use, %", database.metric_acu_utilization()))
    dashboard.add_widgets(*last)
    return dashboard


def _graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title, left=list(metrics), width=WIDTH, left_y_axis=cloudwatch.YAxisProps(min=0)
    )
