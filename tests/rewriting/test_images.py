"""Images whose names functions put together: their literal parts are read, the rest is said to be unknown."""

from typing import Any

import pytest
from task_definitions import container, fargate, options

from outrider_cdk.rewriting import guard

REGISTRY = {
    "Fn::Join": [".", [{"Ref": "AWS::AccountId"}, "dkr.ecr", {"Ref": "AWS::Region"}, {"Ref": "AWS::URLSuffix"}]]
}
OF_CDK = [
    {"Fn::Select": [4, {"Fn::Split": [":", {"Fn::GetAtt": ["Repo", "Arn"]}]}]},
    ".dkr.ecr.",
    {"Fn::Select": [3, {"Fn::Split": [":", {"Fn::GetAtt": ["Repo", "Arn"]}]}]},
    ".",
    {"Ref": "AWS::URLSuffix"},
    "/",
    {"Ref": "Repo"},
    ":latest",
]


def said(image: Any) -> dict[str, str]:
    """Severities by code, of what is said of an image."""
    problems = guard(fargate(container(image=image)), options()).problems
    return {each.code: each.severity for each in problems if each.path[-1:] == ("image",)}


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ({"Fn::Sub": "docker.io/linuxserver/nginx:${Tag}"}, "pid-1"),
        ({"Fn::Sub": "${Registry}/LinuxServer/${Name}@${Digest}"}, "pid-1"),
        ({"Fn::Sub": ["${Whose}/nginx:${Tag}", {"Whose": "lscr.io/linuxserver"}]}, "pid-1"),
        ({"Fn::Join": ["/", [REGISTRY, "docker-hub", "linuxserver", "nginx"]]}, "pid-1"),
        ({"Fn::Join": ["", [{"Ref": "Registry"}, "/phusion/baseimage:", {"Ref": "Tag"}]]}, "signals-everybody"),
        ({"Fn::Sub": "${Registry}/datadog/cws-instrumentation:latest"}, "second-tracer"),
    ],
)
def test_literal_parts_give_an_image_away(image: Any, code: str) -> None:
    """Whatever stands for registry, tag and digest, and however it is put together."""
    assert said(image).get(code) == "error"


@pytest.mark.parametrize(
    "image",
    [
        {"Fn::Sub": "shop:${Tag}"},
        {"Fn::Sub": "public.ecr.aws/acme/shop@${Digest}"},
        {"Fn::Sub": "${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/${!x}/shop:${Tag}"},
        {"Fn::Sub": "${Account}.dkr.ecr.eu-west-1.amazonaws.com/shop"},
        {"Fn::Join": ["/", [REGISTRY, "shop"]]},
        {"Fn::Join": ["", ["acme/shop:", {"Ref": "Tag"}]]},
    ],
)
def test_a_name_that_is_known_but_for_tag_or_account_is_known(image: Any) -> None:
    """Nothing is said: none of the known images has such a name."""
    assert said(image) == {}


@pytest.mark.parametrize(
    ("image", "severity"),
    [
        ({"Ref": "Image"}, "warning"),
        ({"Fn::Sub": "${Repository}:${Tag}"}, "warning"),
        ({"Fn::Sub": "${Registry}/shop:1"}, "warning"),
        ({"Fn::Sub": "acme/shop-${Stage}:1"}, "warning"),
        ({"Fn::Sub": ["${A}", {"A": {"Ref": "Image"}}]}, "warning"),
        ({"Fn::Sub": [5]}, "warning"),
        ({"Fn::Sub": {"Ref": "x"}}, "warning"),
        ({"Fn::Join": "x"}, "warning"),
        ({"Fn::Join": ["", {"Ref": "Parts"}]}, "warning"),
        ({"Fn::Join": ["", []]}, "warning"),
        ({"Fn::ImportValue": "shop-image"}, "warning"),
        ({"Fn::Join": ["", OF_CDK]}, "note"),
        ({"Fn::Sub": "1.dkr.ecr.eu-west-1.amazonaws.com/${Name}:1"}, "note"),
    ],
)
def test_a_name_that_is_not_known_is_said_to_be(image: Any, severity: str) -> None:
    """A warning, and a note where the registry is the account's own; nothing is taken for what it may not be."""
    assert said(image) == {"image-unknown": severity}


def test_no_image_at_all_is_another_matter() -> None:
    """As without the field."""
    assert "image-unknown" not in said({"Ref": "AWS::NoValue"})
