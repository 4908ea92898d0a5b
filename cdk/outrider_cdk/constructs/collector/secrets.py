"""The collector's secrets, made by Secrets Manager and written down nowhere: tokens, and the key that signs lists."""

from collections.abc import Mapping
from typing import Final

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from outrider_cdk.constructs.acknowledging import acknowledge
from outrider_cdk.constructs.collector.image import PREFIX

TOKEN_LENGTH: Final = 40
KEY_DIGITS: Final = 64
NO_HEX: Final = "ghijklmnopqrstuvwxyz"
ROTATION: Final = "AwsSolutions-SMG4"
TOKEN_REASON: Final = "agents hold it: `outrider tokens` makes scoped ones that end, and revokes them"
KEY_REASON: Final = "agents pin the public half: a new key would have every one of them refuse the lists"


TOKENS: Final = {
    "token": ("EnrolmentToken", "What Outrider's sidecars enrol with"),
    "read_token": ("ReadToken", "What readers of Outrider's findings show"),
    "admin_token": ("AdminToken", "What may do everything at Outrider's collector"),
}
"""The collector's settings, to the name and the description of the secret."""


def make_secrets(scope: Construct, *, removal_policy: RemovalPolicy) -> dict[str, secretsmanager.Secret]:
    """All of them, by the collector's settings."""
    made = {
        setting: make_token(scope, name, what=what, removal_policy=removal_policy)
        for setting, (name, what) in TOKENS.items()
    }
    return made | {"lists_key": make_lists_key(scope, removal_policy=removal_policy)}


def make_token(scope: Construct, name: str, *, what: str, removal_policy: RemovalPolicy) -> secretsmanager.Secret:
    """A secret of letters and digits."""
    secret = secretsmanager.Secret(
        scope,
        name,
        description=what,
        removal_policy=removal_policy,
        generate_secret_string=secretsmanager.SecretStringGenerator(
            password_length=TOKEN_LENGTH, exclude_punctuation=True
        ),
    )
    acknowledge(secret, {ROTATION: TOKEN_REASON})
    return secret


def make_lists_key(scope: Construct, *, removal_policy: RemovalPolicy) -> secretsmanager.Secret:
    """The key that all collectors of one store sign lists with: 64 hexadecimal digits."""
    secret = secretsmanager.Secret(
        scope,
        "ListsKey",
        description="What Outrider's collectors sign threat lists with",
        removal_policy=removal_policy,
        generate_secret_string=secretsmanager.SecretStringGenerator(
            password_length=KEY_DIGITS,
            exclude_punctuation=True,
            exclude_uppercase=True,
            exclude_characters=NO_HEX,
            require_each_included_type=True,
        ),
    )
    acknowledge(secret, {ROTATION: KEY_REASON})
    return secret


def as_variables(secrets: Mapping[str, secretsmanager.ISecret]) -> dict[str, ecs.Secret]:
    """Secrets by the settings they are the values of, as ECS puts them into the environment."""
    return {PREFIX + name.upper(): ecs.Secret.from_secrets_manager(secret) for name, secret in secrets.items()}
