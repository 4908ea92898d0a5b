"""The constructs are imported when they are asked for; without AWS CDK an error says what to install."""

import subprocess
import sys

import pytest

WITHOUT = """
import sys
for missing in ("aws_cdk", "constructs", "jsii"):
    sys.modules[missing] = None  # as if it were not installed
import outrider_cdk
from outrider_cdk.rewriting import guard
from outrider_cdk.daemon import task_definition
try:
    from outrider_cdk import {name}
except ImportError as error:
    print(error)
"""


def run(program: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["Outrider", "OutriderCollector"])
def test_without_cdk_the_error_names_the_extra(name: str) -> None:
    """The rest of the package works, and the error is one line with the command."""
    said = run(WITHOUT.format(name=name))
    assert said == f"{name} needs AWS CDK, which is not installed: pip install 'outrider[cdk]'"


def test_nothing_heavy_is_imported_unasked() -> None:
    """Neither the package nor the rewriter loads CDK."""
    loaded = "import sys, outrider_cdk, outrider_cdk.rewriting; print(sorted({'aws_cdk', 'jsii'} & set(sys.modules)))"
    heavy = run(loaded)
    assert heavy == "[]"


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    """As of any module."""
    import outrider_cdk

    with pytest.raises(AttributeError, match="no attribute 'Guardian'"):
        _ = outrider_cdk.Guardian
