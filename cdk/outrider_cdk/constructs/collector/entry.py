"""How agents and readers reach the collectors: a load balancer that ends TLS, and nothing else.

Facts that shape this file:

- A target that closes an idle connection first makes the load balancer answer 502 to what it had just sent there. The
  collector keeps idle connections for 75 s, so the load balancer must let go sooner; agents send every 10 s, and the
  stream of findings says something every 15 s.
- ECS replaces a task whose target is unhealthy. A collector whose store does not answer, or whose index is behind, says
  so at /readyz; it still takes batches and must not be killed for it. So the target group asks /healthz.
"""

from collections.abc import Sequence
from typing import Final

from aws_cdk import Annotations, Duration, Stack, Token
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as route53_targets
from aws_cdk import aws_s3 as s3
from constructs import Construct

from outrider_cdk.constructs.acknowledging import acknowledge
from outrider_cdk.constructs.collector.image import ALIVE_PATH, PORT

HTTPS: Final = 443
HTTPS_PORT: Final = ec2.Port.tcp(HTTPS)
IDLE_S: Final = 60
"""Below the 75 s after which a collector closes an idle connection, above the 15 s in which a stream says something."""
DRAIN_S: Final = 20
OWN_RANGE: Final = "open to the network's own range, which the rule cannot read before deployment"


def make_load_balancer(
    scope: Construct, *, vpc: ec2.IVpc, internet_facing: bool, keep: bool
) -> elb.ApplicationLoadBalancer:
    """The load balancer, closed to everybody until `let_in`."""
    group = ec2.SecurityGroup(
        scope, "EntryGroup", vpc=vpc, description="Whoever may reach the Outrider collectors", allow_all_outbound=False
    )
    return elb.ApplicationLoadBalancer(
        scope,
        "LoadBalancer",
        vpc=vpc,
        internet_facing=internet_facing,
        security_group=group,
        idle_timeout=Duration.seconds(IDLE_S),
        drop_invalid_header_fields=True,
        desync_mitigation_mode=elb.DesyncMitigationMode.STRICTEST,
        deletion_protection=keep,
    )


def make_targets(scope: Construct, *, vpc: ec2.IVpc) -> elb.ApplicationTargetGroup:
    """The group of collectors: whichever has the fewest requests under way gets the next."""
    return elb.ApplicationTargetGroup(
        scope,
        "Collectors",
        vpc=vpc,
        port=PORT,
        protocol=elb.ApplicationProtocol.HTTP,
        target_type=elb.TargetType.IP,
        load_balancing_algorithm_type=elb.TargetGroupLoadBalancingAlgorithmType.LEAST_OUTSTANDING_REQUESTS,
        deregistration_delay=Duration.seconds(DRAIN_S),
        health_check=elb.HealthCheck(
            path=ALIVE_PATH,
            healthy_http_codes="200",
            interval=Duration.seconds(10),
            timeout=Duration.seconds(5),
            healthy_threshold_count=2,
            unhealthy_threshold_count=5,
        ),
    )


def listen(
    balancer: elb.ApplicationLoadBalancer, targets: elb.ApplicationTargetGroup, certificate: acm.ICertificate
) -> elb.ApplicationListener:
    """TLS 1.2 and 1.3 at port 443; there is no other port."""
    return balancer.add_listener(
        "Https",
        port=HTTPS,
        certificates=[elb.ListenerCertificate.from_certificate_manager(certificate)],
        ssl_policy=elb.SslPolicy.RECOMMENDED_TLS,
        default_target_groups=[targets],
        open=False,
    )


def let_in(balancer: elb.ApplicationLoadBalancer, clients: Sequence[ec2.IPeer], *, vpc: ec2.IVpc, public: bool) -> None:
    """Open the port to these clients; where none are named, to the network, or to all where it is public."""
    chosen = list(clients) or [ec2.Peer.any_ipv4() if public else ec2.Peer.ipv4(vpc.vpc_cidr_block)]
    for peer in chosen:
        balancer.connections.allow_from(peer, HTTPS_PORT, "agents and readers")
    if not clients:
        said = "asked for (internet_facing); whoever comes shows a token or a key" if public else OWN_RANGE
        acknowledge(balancer.connections.security_groups[0], {"AwsSolutions-EC23": said})


def make_certificate(
    scope: Construct, *, domain_name: str, certificate: acm.ICertificate | None, zone: route53.IHostedZone | None
) -> acm.ICertificate:
    """The certificate that was given, else one for the name, proved by a record in its zone. Raises ValueError."""
    if certificate is not None:
        return certificate
    if zone is None:
        raise ValueError(
            "OutriderCollector needs a certificate: give certificate=, or hosted_zone= to have one made."
            " Agents send signed batches and a token: not over plain HTTP."
        )
    return acm.Certificate(
        scope, "Certificate", domain_name=domain_name, validation=acm.CertificateValidation.from_dns(zone)
    )


def make_record(
    scope: Construct, balancer: elb.ApplicationLoadBalancer, *, domain_name: str, zone: route53.IHostedZone
) -> route53.ARecord:
    """The name that agents know the collectors by."""
    target = route53.RecordTarget.from_alias(route53_targets.LoadBalancerTarget(balancer))
    return route53.ARecord(scope, "Name", zone=zone, record_name=f"{domain_name}.", target=target)


def log_requests(balancer: elb.ApplicationLoadBalancer, bucket: s3.IBucket | None) -> None:
    """Have requests logged to the bucket; who wants none, or has no region, has that said."""
    if bucket is None:
        acknowledge(balancer, {"AwsSolutions-ELB2": "asked for: access_logs=False"})
    elif Token.is_unresolved(Stack.of(balancer).region):
        Annotations.of(balancer).add_warning_v2(
            "outrider:access-logs",
            "The load balancer's requests are not logged: whose account may write them depends on the region, and this"
            " stack has none. Give it one (env=), or say access_logs=False.",
        )
    else:
        balancer.log_access_logs(bucket, "load-balancer")
