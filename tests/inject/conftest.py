"""moto's ECS within the process, and `outrider inject` called in it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.ecs.models import ecs_backends
from stand_in_ecs import REGION

from outrider_cli.main import main


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks a real account, and none takes an option from where it is run."""
    for name in ("OUTRIDER_IMAGE", "OUTRIDER_IMAGE_ARM64", "OUTRIDER_COLLECTOR_URL", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


@pytest.fixture(scope="module")
def _mocked() -> Iterator[Any]:
    """moto, once for a file: a client takes longer to make than what is done with it."""
    with mock_aws():
        yield boto3.client("ecs", region_name=REGION)


@pytest.fixture
def ecs(_mocked: Any) -> Any:
    """boto3's client of an ECS that is moto's, with one empty cluster, prod."""
    ecs_backends["123456789012"][REGION].reset()
    _mocked.create_cluster(clusterName="prod")
    return _mocked


Inject = Callable[..., tuple[int, str, str]]


@pytest.fixture
def inject(capsysbinary: pytest.CaptureFixture[bytes]) -> Inject:
    """Run `outrider inject` here: the exit code, standard output, standard error."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        try:
            code = main(["inject", *map(str, arguments)])
        except SystemExit as left:
            code = int(left.code or 0)
        out, err = capsysbinary.readouterr()
        return code, out.decode(), err.decode()

    return run
