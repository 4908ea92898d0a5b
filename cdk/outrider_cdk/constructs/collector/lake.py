"""The event lake's bucket: private, over TLS alone, and emptied of old events by S3 itself."""

from typing import Final

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from outrider_cdk.constructs.acknowledging import acknowledge

PREFIX: Final = "outrider"
EVENTS: Final = f"{PREFIX}/ext/"
"""Where the Parquet files lie. What lies beside them, the commit marks, must stay as long as there is a lake."""
COLDER_AFTER_DAYS: Final = 30
"""S3's own least for its cheaper class."""
GRACE_DAYS: Final = 7
"""The collector removes old days itself; S3 takes what it left."""
UNFINISHED_DAYS: Final = 2
LOG_DAYS: Final = 90


def make_bucket(scope: Construct, *, days: int, logs: s3.IBucket | None, removal_policy: RemovalPolicy) -> s3.Bucket:
    """A bucket that keeps events for `days` (0: for ever), in the cheaper class once they are a month old."""
    colder = days == 0 or days > COLDER_AFTER_DAYS * 2
    return s3.Bucket(
        scope,
        "Lake",
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        encryption=s3.BucketEncryption.S3_MANAGED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        server_access_logs_bucket=logs,
        server_access_logs_prefix="lake/" if logs else None,
        removal_policy=removal_policy,
        lifecycle_rules=[
            s3.LifecycleRule(
                id="old-events",
                prefix=EVENTS,
                expiration=Duration.days(days + GRACE_DAYS) if days else None,
                transitions=[
                    s3.Transition(
                        storage_class=s3.StorageClass.INFREQUENT_ACCESS,
                        transition_after=Duration.days(COLDER_AFTER_DAYS),
                    )
                ]
                if colder
                else None,
                enabled=True,
            ),
            s3.LifecycleRule(
                id="unfinished-uploads", abort_incomplete_multipart_upload_after=Duration.days(UNFINISHED_DAYS)
            ),
        ],
    )


def make_logs_bucket(scope: Construct, *, removal_policy: RemovalPolicy) -> s3.Bucket:
    """A bucket for the access logs of the load balancer and of the lake."""
    return s3.Bucket(
        scope,
        "AccessLogs",
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        encryption=s3.BucketEncryption.S3_MANAGED,  # the load balancer writes to no other
        enforce_ssl=True,
        minimum_tls_version=1.2,
        removal_policy=removal_policy,
        lifecycle_rules=[s3.LifecycleRule(id="old-logs", expiration=Duration.days(LOG_DAYS))],
    )


def location(bucket: s3.IBucket) -> str:
    """The lake's place, as the collector's setting `lake` names it."""
    return f"s3://{bucket.bucket_name}/{PREFIX}"


def explain_wildcard(role: iam.IRole, bucket: s3.Bucket) -> None:
    """Why the role's policy has a wildcard."""
    child = bucket.node.default_child
    assert isinstance(child, s3.CfnBucket)
    arn = f"<{Stack.of(bucket).get_logical_id(child)}.Arn>"
    acknowledge(
        role,
        {f"AwsSolutions-IAM5[Resource::{arn}/{PREFIX}/*]": "the lake's files alone; their names hold the time"},
    )


def lake_statements(bucket: s3.IBucket) -> list[iam.PolicyStatement]:
    """What a collector may do with the lake."""
    return [
        # Write Parquet files and commit marks, read them back to merge small ones, remove merged and old ones;
        # and break off an upload that failed half-way. Nothing outside of the lake's own prefix.
        iam.PolicyStatement(
            sid="FilesOfTheLake",
            actions=["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            resources=[bucket.arn_for_objects(f"{PREFIX}/*")],
        ),
        # Find the files of an hour or a day; listing is the bucket's right, so it is held to the prefix.
        iam.PolicyStatement(
            sid="ListOfTheLake",
            actions=["s3:ListBucket"],
            resources=[bucket.bucket_arn],
            conditions={"StringLike": {"s3:prefix": [PREFIX, f"{PREFIX}/*"]}},
        ),
    ]
