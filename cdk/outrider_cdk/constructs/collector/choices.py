"""What somebody who deploys a collector decides, and which choices do not go together. Nothing of AWS."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from outrider_cdk.constructs.collector.image import check_settings

Store = Literal["sqlite", "aurora"]
FEWEST_WITH_AURORA = 2


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What agents enrol with. With roles, each task needs one, and no secret has to be given to anybody."""

    enrolment: Literal["any", "token", "aws", "both"] = "token"
    """`token`: the enrolment token. `aws`: the role of the task or instance. `both` together, or `any` of the two."""
    accounts: tuple[str, ...] = ()
    """Numbers of the accounts whose roles may enrol."""
    task_roles: tuple[str, ...] = ()
    """Names of task roles that may enrol, or `account/name`; `*` stands for any text."""
    instance_roles: tuple[str, ...] = ()
    """The same for the roles of EC2 instances."""
    regions: tuple[str, ...] = ()
    """Regions whose STS may be asked; the stack's own where none is named."""

    def settings(self, domain_name: str, *, region: str) -> dict[str, str]:
        """The collector's settings: an AWS identity is signed for its name."""
        made = {"name": domain_name, "enrolment": self.enrolment}
        if self.enrolment == "token":
            return made
        return made | {
            "aws_accounts": ",".join(self.accounts),
            "aws_task_roles": ",".join(self.task_roles),
            "aws_instance_roles": ",".join(self.instance_roles),
            "aws_regions": ",".join(self.regions or (region,)),
        }

    def check(self) -> None:
        """Raises ValueError where roles are wanted and none are named, or the other way round."""
        roles = self.task_roles or self.instance_roles
        if self.enrolment == "token" and (roles or self.accounts):
            raise ValueError(
                "admission: accounts and roles are named, but enrolment is 'token'; make it 'any' or 'both'"
            )
        if self.enrolment != "token" and not (roles and self.accounts):
            raise ValueError(
                f"admission: enrolment {self.enrolment!r} needs accounts, and task_roles or instance_roles"
            )
        for account in self.accounts:
            if not (account.startswith("${Token[") or (account.isdecimal() and len(account) == 12)):
                raise ValueError(f"admission: {account!r} is no account number: twelve digits")


def check_choices(*, store: str, collectors: int | None, admission: Admission, settings: Mapping[str, str]) -> int:
    """How many collectors there are to be. Raises ValueError where the choices do not go together."""
    admission.check()
    check_settings(settings)
    if store not in ("sqlite", "aurora"):
        raise ValueError(f"store is {store!r}; it must be 'sqlite' or 'aurora'")
    count = collectors if collectors is not None else (FEWEST_WITH_AURORA if store == "aurora" else 1)
    if count < 1:
        raise ValueError("there must be one collector at least")
    if store == "sqlite" and count > 1:
        raise ValueError(f"{count} collectors cannot share SQLite; choose store='aurora'")
    return count
