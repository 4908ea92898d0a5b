"""`OutriderCollector`: the collector, deployed."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from outrider_cdk.constructs.collector import entry, exporting, lake, running, storage, watching
from outrider_cdk.constructs.collector.choices import Admission, Store, check_choices
from outrider_cdk.constructs.collector.dashboard import make_dashboard
from outrider_cdk.constructs.collector.image import DEFAULTS, PORT, environment_of
from outrider_cdk.constructs.collector.secrets import as_variables, make_secrets

BY_TOKEN: Final = Admission()
LOGS_BY_POLICY: Final = "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy"
"""CDK's flag: S3 writes its access logs by a bucket policy, not by an ACL, which new buckets do not have."""


class OutriderCollector(Construct):
    """The collector as Fargate services behind a load balancer with TLS, with its store, lake, alarms and dashboard.

    `store="sqlite"` is the small one: one collector, its database in its folder on EFS. `"aurora"` is Aurora
    PostgreSQL, serverless, under two collectors or more. Whatever it makes is an attribute.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - the name that every construct has
        *,
        vpc: ec2.IVpc,
        domain_name: str,
        image: ecs.ContainerImage,
        certificate: acm.ICertificate | None = None,
        hosted_zone: route53.IHostedZone | None = None,
        cluster: ecs.ICluster | None = None,
        store: Store = "sqlite",
        collectors: int | None = None,
        database_capacity: tuple[float, float] = (0.5, 8),
        cpu: int = 1024,
        memory_mib: int = 2048,
        architecture: ecs.CpuArchitecture | None = None,
        public_subnets: bool = False,
        internet_facing: bool = False,
        clients: Sequence[ec2.IPeer] = (),
        admission: Admission = BY_TOKEN,
        with_lake: bool = True,
        lake_days: int = 90,
        security_hub: bool = False,
        event_bus: events.IEventBus | None = None,
        exports: Sequence[Mapping[str, Any]] = (),
        settings: Mapping[str, str] | None = None,
        alarm_topic: sns.ITopic | None = None,
        access_logs: bool = True,
        log_retention: logs.RetentionDays = logs.RetentionDays.THREE_MONTHS,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        """Deploy the collector.

        :param vpc: The network it is in: private subnets with a way to AWS's endpoints (NAT or VPC endpoints).
        :param domain_name: What agents call it, as `outrider.example.com`; an AWS identity is signed for this name.
        :param image: The target `collector` of Outrider's Dockerfile:
            `ecs.ContainerImage.from_asset(CHECKOUT, target="collector")`, or one in a registry of your own.
        :param certificate: For that name, in this region. Without it one is made, proved by `hosted_zone`.
        :param hosted_zone: Where the name is entered. Without it that is left to you.
        :param cluster: Where the services run; without it one of their own.
        :param store: `sqlite` or `aurora`.
        :param collectors: How many; 1 with SQLite, 2 by default with Aurora.
        :param database_capacity: Least and most of Aurora's capacity units (2 GiB each).
        :param cpu: Of each collector, in 1024ths of a vCPU.
        :param memory_mib: Of each collector.
        :param architecture: What the image is built for; x86-64 by default.
        :param public_subnets: Run the tasks in public subnets with addresses of their own: for a network without NAT.
        :param internet_facing: Whether the load balancer is on the internet.
        :param clients: Who may reach it; by default the network, or everybody where it is on the internet.
        :param admission: What agents enrol with: the token, or the roles of tasks and instances.
        :param with_lake: Keep all events as Parquet on S3.
        :param lake_days: For how long; 0 for ever.
        :param security_hub: Send findings to this account's Security Hub, which must be enabled.
        :param event_bus: Send findings to this bus.
        :param exports: More entries of the setting `exports` (docs/exports.md).
        :param settings: More settings of the collector, by their names in docs/settings.md.
        :param alarm_topic: Who is told of alarms.
        :param access_logs: Log requests to the load balancer and the lake; needs a stack whose region is known.
        :param log_retention: Of the collectors' own log.
        :param removal_policy: Of everything that holds data; `DESTROY` lets the stack be deleted at once.

        Raises ValueError where the choices do not go together.
        """
        super().__init__(scope, id)
        self.node.set_context(LOGS_BY_POLICY, True)
        count = check_choices(store=store, collectors=collectors, admission=admission, settings=settings or {})
        self.vpc = vpc
        self.domain_name = domain_name
        self.admission = admission
        self.url = f"https://{domain_name}"
        self.log_group = logs.LogGroup(self, "Log", retention=log_retention, removal_policy=removal_policy)
        self.access_logs_bucket = lake.make_logs_bucket(self, removal_policy=removal_policy) if access_logs else None
        self.secrets = make_secrets(self, removal_policy=removal_policy)
        self.enrolment_token, self.read_token = self.secrets["token"], self.secrets["read_token"]
        self.admin_token = self.secrets["admin_token"]
        self._make_places(store, with_lake, lake_days, database_capacity, removal_policy)
        self._make_entry(
            certificate, hosted_zone, internet_facing, clients, keep=removal_policy != RemovalPolicy.DESTROY
        )
        self.cluster: ecs.ICluster = cluster or ecs.Cluster(
            self, "Cluster", vpc=vpc, container_insights_v2=ecs.ContainerInsights.ENABLED
        )
        self.security_group = ec2.SecurityGroup(self, "Group", vpc=vpc, description="The Outrider collectors")
        self.task_definitions: list[ecs.FargateTaskDefinition] = []
        self.services: list[ecs.FargateService] = []
        entries = exporting.export_entries(self, security_hub=security_hub, event_bus=event_bus, more=exports)
        environment = environment_of({
            **DEFAULTS, **(settings or {}), **self._settings(admission, lake_days if with_lake else 0),
            "exports": Stack.of(self).to_json_string([dict(each) for each in entries]),
        })  # fmt: skip
        self.statements = exporting.export_statements(self, security_hub=security_hub, event_bus=event_bus)
        self.statements += lake.lake_statements(self.lake_bucket) if self.lake_bucket else []
        for number in range(1, count + 1):
            self._add_collector(
                number, image, environment, cpu, memory_mib, architecture or ecs.CpuArchitecture.X86_64, public_subnets
            )
        self._let_through()
        self._watch(alarm_topic)

    @property
    def connections(self) -> ec2.Connections:
        """Who may reach the collectors: `collector.connections.allow_default_port_from(service)`."""
        return ec2.Connections(
            security_groups=self.load_balancer.connections.security_groups, default_port=entry.HTTPS_PORT
        )

    def _make_places(
        self, store: Store, with_lake: bool, days: int, capacity: tuple[float, float], removal_policy: RemovalPolicy
    ) -> None:
        self.lake_bucket: s3.Bucket | None = None
        if with_lake:
            self.lake_bucket = lake.make_bucket(
                self, days=days, logs=self.access_logs_bucket, removal_policy=removal_policy
            )
        self.files = storage.make_files(self, vpc=self.vpc, removal_policy=removal_policy)
        self.database: rds.DatabaseCluster | None = None
        if store == "aurora":
            self.database = storage.make_aurora(self, vpc=self.vpc, capacity=capacity, removal_policy=removal_policy)

    def _make_entry(
        self,
        certificate: acm.ICertificate | None,
        zone: route53.IHostedZone | None,
        public: bool,
        clients: Sequence[ec2.IPeer],
        *,
        keep: bool,
    ) -> None:
        self.certificate = entry.make_certificate(
            self, domain_name=self.domain_name, certificate=certificate, zone=zone
        )
        self.load_balancer = entry.make_load_balancer(self, vpc=self.vpc, internet_facing=public, keep=keep)
        self.target_group = entry.make_targets(self, vpc=self.vpc)
        self.listener = entry.listen(self.load_balancer, self.target_group, self.certificate)
        entry.let_in(self.load_balancer, clients, vpc=self.vpc, public=public)
        self.record: route53.ARecord | None = None
        if zone is not None:
            self.record = entry.make_record(self, self.load_balancer, domain_name=self.domain_name, zone=zone)
        entry.log_requests(self.load_balancer, self.access_logs_bucket)

    def _settings(self, admission: Admission, lake_days: int) -> dict[str, str]:
        """Those that follow from what was made."""
        region = Stack.of(self).region
        made = admission.settings(self.domain_name, region=region)
        # the load balancer is in the network, and the security group lets nobody else in: it says who asks
        made["trusted_proxies"] = self.vpc.vpc_cidr_block
        if self.database is not None:
            made["database"] = storage.database_url(self.database)
        if self.lake_bucket is not None:
            made |= {"lake": lake.location(self.lake_bucket), "lake_region": region}
            made["lake_days"] = str(lake_days) if lake_days else ""
        return made

    def _add_collector(
        self,
        number: int,
        image: ecs.ContainerImage,
        environment: Mapping[str, str],
        cpu: int,
        memory_mib: int,
        architecture: ecs.CpuArchitecture,
        public_subnets: bool,
    ) -> None:
        """One more, with a folder of its own."""
        secrets = as_variables(self.secrets) | (storage.database_secrets(self.database) if self.database else {})
        definition = running.make_definition(
            self,
            f"Definition{number}",
            image=image,
            environment=environment,
            secrets=secrets,
            statements=self.statements,
            files=self.files,
            folder=storage.make_folder(self.files, number),
            log_group=self.log_group,
            cpu=cpu,
            memory_mib=memory_mib,
            architecture=architecture,
        )
        if self.lake_bucket is not None:
            lake.explain_wildcard(definition.task_role, self.lake_bucket)
        service = running.make_service(
            self,
            f"Service{number}",
            cluster=self.cluster,
            definition=definition,
            security_group=self.security_group,
            public_subnets=public_subnets,
        )
        self.target_group.add_target(
            service.load_balancer_target(container_name=running.CONTAINER, container_port=PORT)
        )
        service.node.add_dependency(self.files.mount_targets_available)
        self.task_definitions.append(definition)
        self.services.append(service)

    def _let_through(self) -> None:
        """The collectors to their files and their database."""
        self.files.connections.allow_default_port_from(self.security_group, "the collectors' folders")
        if self.database is not None:
            self.database.connections.allow_default_port_from(self.security_group, "the collectors' database")

    def _watch(self, topic: sns.ITopic | None) -> None:
        counted = watching.count_lines(self, self.log_group, name=self.node.addr)
        self.metrics = counted
        self.alarms = watching.make_alarms(
            self,
            services=self.services,
            targets=self.target_group,
            counted=counted,
            database=self.database,
            topic=topic,
        )
        self.dashboard = make_dashboard(
            self,
            counted=counted,
            alarms=self.alarms,
            targets=self.target_group,
            services=self.services,
            database=self.database,
        )
