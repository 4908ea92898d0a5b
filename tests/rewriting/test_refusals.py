"""What is refused or warned of, each with a near miss that is not: the field's path, the code, and a remedy."""

from collections.abc import Mapping
from typing import Any

import pytest
from task_definitions import LOG, TASK_ROLE, TOKEN, container, ec2, fargate, options

from outrider_cdk.rewriting import GuardOptions, Rewritten, guard, show, unguard
from outrider_cdk.rewriting.checks import ACCEPTABLE
from outrider_cdk.rewriting.checks.elsewhere import check_service

Json = Mapping[str, Any]
OUR = options()


def shell(text: str) -> Json:
    return fargate(container(command=["sh", "-c", text]))


def adding(*names: str) -> Json:
    return fargate(container(linuxParameters={"capabilities": {"add": list(names)}}))


def windows(family: Any) -> Json:
    return fargate(runtimePlatform={"operatingSystemFamily": family})


def processor(value: Any) -> Json:
    return fargate(runtimePlatform={"cpuArchitecture": value})


def image(name: Any, **changes: Any) -> Json:
    return fargate(container(image=name, **changes))


def variable(name: str, value: str) -> Json:
    return fargate(container(environment=[{"name": name, "value": value}]))


C0 = "containerDefinitions[0]"
ADD = f"{C0}.linuxParameters.capabilities.add[0]"
NONE = {"Ref": "AWS::NoValue"}
CHOSEN = {"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "Large"]}
ROUTER = container("router", firelensConfiguration={"type": "fluentbit"})

REFUSED: list[tuple[str, str, Any, GuardOptions]] = [
    ("not-a-definition", "(the definition)", None, OUR),
    ("not-a-definition", "(the definition)", [fargate()], OUR),
    ("not-a-definition", "(the definition)", {"Ref": "Task"}, OUR),
    ("no-containers", "(the definition)", {"family": "web"}, OUR),
    ("no-containers", "containerDefinitions", fargate(containerDefinitions=[]), OUR),
    ("no-containers", "containerDefinitions", fargate(containerDefinitions={"Ref": "Containers"}), OUR),
    ("not-a-container", "containerDefinitions[1]", fargate(container(), "db"), OUR),
    ("too-many-containers", "containerDefinitions", fargate(*(container(f"c{n}") for n in range(10))), OUR),
    ("no-name", f"{C0}.name", fargate(container(name="")), OUR),
    ("no-name", f"{C0}.name", fargate(container(name=7)), OUR),
    ("duplicate-name", "containerDefinitions[1].name", fargate(container(), container()), OUR),
    ("name-taken", "containerDefinitions[1].name", fargate(container(), container("outrider")), OUR),
    ("wrong-type", "volumes", fargate(volumes={"name": "data"}), OUR),
    ("wrong-type", f"{C0}.dependsOn", fargate(container(dependsOn="db")), options(depends_on=True)),
    ("windows", "runtimePlatform.operatingSystemFamily", windows("WINDOWS_SERVER_2022_CORE"), OUR),
    ("arm-image", "runtimePlatform.cpuArchitecture", processor("ARM64"), OUR),
    ("arm-image", "runtimePlatform.cpuArchitecture", processor("arm64"), OUR),
    ("pid-mode", "pidMode", fargate(pidMode="host"), OUR),
    ("pid-mode", "pidMode", fargate(pidMode={"Ref": "Mode"}), OUR),
    ("pid-mode", "pidMode", ec2(pidMode="none"), OUR),
    ("pid-mode", "pidMode", fargate(pidMode="host", requiresCompatibilities=["MANAGED_INSTANCES"]), OUR),
    ("pid-1", f"{C0}.entryPoint[0]", fargate(container(entryPoint=["/init"])), OUR),
    ("pid-1", f"{C0}.command[0]", fargate(container(command=["/sbin/init"])), OUR),
    ("pid-1", f"{C0}.image", image("lscr.io/linuxserver/nginx:latest"), OUR),
    ("pid-1", f"{C0}.image", image("shinsenter/php@sha256:00"), OUR),
    ("signals-everybody", f"{C0}.command", shell("trap 'kill -9 -1' EXIT; run"), OUR),
    ("signals-everybody", f"{C0}.command", shell("kill -s TERM -- -1"), OUR),
    ("signals-everybody", f"{C0}.command", shell("killall5 -15"), OUR),
    ("signals-everybody", f"{C0}.command", shell('python -c "import os; os.kill(-1, 9)"'), OUR),
    ("signals-everybody", f"{C0}.entryPoint", fargate(container(entryPoint=["/sbin/my_init"])), OUR),
    ("signals-everybody", f"{C0}.image", image("phusion/baseimage:noble"), OUR),
    (
        "signals-everybody",
        f"{C0}.healthCheck.command",
        fargate(container(healthCheck={"command": ["CMD-SHELL", "true || kill -KILL -1"]})),
        OUR,
    ),
    ("second-tracer", f"{C0}.image", image("public.ecr.aws/datadog/cws-instrumentation:1"), OUR),
    (
        "second-tracer",
        f"{C0}.entryPoint",
        fargate(container(entryPoint=["/cws-instrumentation-volume/cws-instrumentation", "trace"])),
        OUR,
    ),
    ("second-tracer", f"{C0}.environment[0]", variable("DD_RUNTIME_SECURITY_CONFIG_ENABLED", "true"), OUR),
    ("second-tracer", f"{C0}.entryPoint", fargate(container(entryPoint=["/opt/draios/bin/instrument"])), OUR),
    ("second-tracer", f"{C0}.command", fargate(container(command=["/usr/bin/strace", "-f", "app"])), OUR),
    ("reads-key", ADD, adding("SYS_PTRACE"), OUR),
    ("reads-key", ADD, adding("CAP_SYS_PTRACE"), OUR),
    ("reads-key", ADD, adding("ALL"), OUR),
    ("reads-key", ADD, fargate(container(linuxParameters={"capabilities": {"add": "SYS_PTRACE"}})), OUR),
    ("reads-key", f"{C0}.privileged", ec2(container(privileged=True)), OUR),
    ("not-on-fargate", ADD, adding("SYS_ADMIN"), OUR),
    ("not-on-fargate", f"{C0}.privileged", fargate(container(privileged=True)), OUR),
    (
        "journal-shared",
        f"{C0}.mountPoints[0]",
        fargate(container(mountPoints=[{"sourceVolume": "outrider-journal", "containerPath": "/x"}])),
        OUR,
    ),
    ("journal-shared", f"{C0}.volumesFrom[0]", ec2(container(volumesFrom=[{"sourceContainer": "outrider"}])), OUR),
    ("volume-taken", "volumes[0]", fargate(volumes=[{"name": "outrider-journal"}]), OUR),
    ("too-small", "memory", fargate(container(memoryReservation=1000)), OUR),
    ("too-small", "memory", ec2(container(memory=64), memory="100"), OUR),
    ("too-small", "cpu", fargate(container(cpu=500)), options(cpu=64)),
    ("no-network", "networkMode", ec2(networkMode="none"), OUR),
    ("bad-collector", "(the definition)", fargate(), options(collector_url="collector.example")),
    ("no-execution-role", "(the definition)", fargate(executionRoleArn=None), OUR),
    ("no-task-role", "(the definition)", fargate(), options(token_secret="")),
    ("no-token", "(the definition)", fargate(taskRoleArn=TASK_ROLE), options(token_secret="", enrol="both")),
    ("no-log-router", "(the definition)", fargate(container(logConfiguration={"logDriver": "awsfirelens"})), OUR),
    ("unknown-setting", "(the definition)", fargate(), options(settings={"colector_url": "x"})),
    ("setting-twice", "(the definition)", fargate(), options(secrets={"token": TOKEN})),
    ("no-image", "(the definition)", fargate(), options(image="")),
    ("bad-option", "(the definition)", fargate(), options(container_name="a b")),
    ("bad-option", "(the definition)", fargate(), options(memory_mib=32)),
    ("bad-option", "(the definition)", fargate(), options(stop_timeout_s=600)),
    ("bad-option", "(the definition)", fargate(), options(cpu=-1)),
    ("bad-option", "(the definition)", fargate(), options(image="https://registry.example/outrider")),
    ("bad-option", "(the definition)", fargate(), options(image_arm64="out rider")),
    ("bad-option", "(the definition)", fargate(), options(settings={"mode": "host"})),
    ("bad-collector", "(the definition)", fargate(), options(collector_url="", settings={"collector_url": "here"})),
]

WARNED: list[tuple[str, str, Any, GuardOptions]] = [
    (
        "other-agent",
        f"{C0}.image",
        image("593207742271.dkr.ecr.us-east-1.amazonaws.com/aws-guardduty-agent-fargate:v1"),
        OUR,
    ),
    ("other-agent", f"{C0}.image", image("quay.io/falcosecurity/falco:0.40"), OUR),
    ("second-tracer", f"{C0}.command", fargate(container(command=["gdb"])), options(settings={"attach": "off"})),
    ("strong-capability", ADD, {**adding("SYS_ADMIN"), "requiresCompatibilities": ["EC2"]}, OUR),
    ("host-path", "volumes[0]", ec2(volumes=[{"name": "d", "host": {"sourcePath": "/var/run/docker.sock"}}]), OUR),
    ("host-path", "volumes[0]", ec2(volumes=[{"name": "d", "host": {"sourcePath": "/"}}]), OUR),
    ("signals-by-name", f"{C0}.command", shell("pkill nginx"), OUR),
    ("perhaps-pid-1", f"{C0}.image", image("serversideup/php:8.4-fpm-nginx"), OUR),
    ("names-pid-1", f"{C0}.command", shell("cron && tail -F /var/log/cron > /proc/1/fd/1"), OUR),
    (
        "names-pid-1",
        f"{C0}.healthCheck.command",
        fargate(container(healthCheck={"command": ["CMD-SHELL", "kill -0 1"]})),
        OUR,
    ),
    ("signals-everybody", f"{C0}.command", {**shell("kill -9 -1"), "pidMode": "task"}, OUR),
    ("tight", "memory", fargate(container(memory=1000, memoryReservation=500)), OUR),
    ("tight", "memory", fargate(cpu="256", memory="0.25 GB"), OUR),
    ("tight", "memory", fargate(container(memory=500), cpu="256", memory="512"), OUR),
    ("no-cpu", "cpu", fargate(container(cpu=512)), OUR),
    ("no-such-size", "memory", fargate(memory="5000"), OUR),
    ("no-size", "(the definition)", fargate(memory=None), OUR),
    ("network-apart", "networkMode", ec2(networkMode="bridge"), OUR),
    ("network-apart", "(the definition)", ec2(networkMode=None), OUR),
    ("network-host", "networkMode", ec2(networkMode="host"), OUR),
    ("network-mode", "networkMode", fargate(networkMode="bridge"), OUR),
    ("network-unknown", "networkMode", fargate(networkMode={"Ref": "Mode"}), OUR),
    ("network-disabled", f"{C0}.disableNetworking", ec2(container(disableNetworking=True)), OUR),
    ("no-network", "networkMode", ec2(networkMode="none"), options(collector_url="")),
    ("proxy", "proxyConfiguration", fargate(proxyConfiguration={"type": "APPMESH"}), OUR),
    ("no-collector", "(the definition)", fargate(), options(collector_url="")),
    ("no-tls", "(the definition)", fargate(), options(collector_url="http://collector.example:8440")),
    ("no-log", "(the definition)", fargate(container(logConfiguration=None)), OUR),
    ("no-task-role", "(the definition)", ec2(), options(token_secret="")),
    ("token-in-the-open", "(the definition)", fargate(), options(token_secret="", settings={"token": "x"})),
    ("essential", "(the definition)", fargate(), options(essential=True)),
    ("little-memory", "(the definition)", fargate(), options(memory_mib=96)),
    ("managed-instances", "requiresCompatibilities", fargate(requiresCompatibilities=["MANAGED_INSTANCES"]), OUR),
    ("external", "requiresCompatibilities", ec2(requiresCompatibilities=["EXTERNAL"]), OUR),
    ("arm-unknown", "runtimePlatform.cpuArchitecture", processor({"Ref": "Processor"}), OUR),
    ("wrong-type", f"{C0}.environment", fargate(container(environment={"A": "b"})), OUR),
    ("wrong-type", f"{C0}.stopTimeout", fargate(container(stopTimeout="soon")), OUR),
    ("no-image", C0, fargate(container(image=None)), OUR),
    ("bad-name", f"{C0}.name", fargate(container("a b")), OUR),
    ("no-tls", "(the definition)", fargate(), options(settings={"collector_url": "http://collector.example"})),
    ("no-arn", "(the definition)", fargate(), options(token_secret="hunter2")),
    ("container-unknown", "containerDefinitions[1]", fargate(container(), CHOSEN), OUR),
    ("system-unknown", "runtimePlatform", fargate(runtimePlatform=CHOSEN), OUR),
    ("system-unknown", "runtimePlatform.operatingSystemFamily", windows(CHOSEN), OUR),
    ("platform-unknown", "requiresCompatibilities", fargate(requiresCompatibilities=CHOSEN), OUR),
    ("fields-unknown", "Fn::Transform", fargate(**{"Fn::Transform": {"Name": "AWS::Include"}}), OUR),
    ("privileges-unknown", f"{C0}.privileged", ec2(container(privileged=CHOSEN)), OUR),
    ("privileges-unknown", f"{C0}.linuxParameters", fargate(container(linuxParameters=CHOSEN)), OUR),
    (
        "privileges-unknown",
        f"{C0}.linuxParameters.capabilities",
        fargate(container(linuxParameters={"capabilities": CHOSEN})),
        OUR,
    ),
    ("privileges-unknown", ADD, fargate(container(linuxParameters={"capabilities": {"add": [CHOSEN]}})), OUR),
    ("command-unknown", f"{C0}.entryPoint", fargate(container(entryPoint=CHOSEN)), OUR),
    ("command-unknown", f"{C0}.healthCheck.command", fargate(container(healthCheck={"command": CHOSEN})), OUR),
    ("mounts-unknown", f"{C0}.mountPoints", fargate(container(mountPoints=CHOSEN)), OUR),
    ("image-unknown", f"{C0}.image", image({"Ref": "Image"}), OUR),
]

QUIET: list[tuple[str, Any, GuardOptions]] = [
    ("an app that is none of the known", fargate(), OUR),
    ("nine containers", fargate(*(container(f"c{n}") for n in range(9))), OUR),
    ("init as an argument", fargate(container(entryPoint=["/app"], command=["/init"])), OUR),
    ("a program that is called like an init", fargate(container(entryPoint=["/app/init"])), OUR),
    ("Docker's own init", fargate(container(linuxParameters={"initProcessEnabled": True})), OUR),
    ("an entry point of one's own over s6", image("linuxserver/nginx", entryPoint=["/usr/sbin/nginx"]), OUR),
    ("SIGHUP to one process", shell("kill -1 $(cat /run/app.pid)"), OUR),
    ("a signal to the group and to a child", shell("kill -TERM 0; kill -TERM -12; kill -9 -$PGID"), OUR),
    ("a word with kill in it", shell("roadkill -9 -1x"), OUR),
    ("other numbers than one", shell("kill -TERM 12; cat /proc/12/status /proc/self/fd/1"), OUR),
    ("PID 1 where the namespace is shared already", {**shell("kill -HUP 1"), "pidMode": "task"}, OUR),
    ("a capability less", fargate(container(linuxParameters={"capabilities": {"drop": ["ALL"]}})), OUR),
    ("Datadog without workload protection", variable("DD_RUNTIME_SECURITY_CONFIG_ENABLED", "false"), OUR),
    ("FireLens with a router", fargate(container(logConfiguration={"logDriver": "awsfirelens"}), ROUTER), OUR),
    ("ARM64 with an image", processor("ARM64"), options(image_arm64="arm")),
    ("Linux named", windows("LINUX"), OUR),
    ("no role and no need of one", ec2(executionRoleArn=None, taskRoleArn=TASK_ROLE), options(token_secret="")),
    ("volumes of others", ec2(volumes=[{"name": "d", "host": {"sourcePath": "/srv/data"}}]), OUR),
    ("findings in the log", fargate(), options(collector_url="", settings={"findings_file": "-"})),
    ("a collector in the task", fargate(), options(collector_url="http://localhost:8440")),
    ("privileges left out", fargate(container(privileged=NONE, linuxParameters={"capabilities": NONE})), OUR),
    ("a collector as a secret", fargate(), options(collector_url="", secrets={"collector_url": TOKEN})),
    ("an image by digest", fargate(), options(image="registry.example:5000/o_u/t-r@sha256:0a")),
    ("room enough", fargate(container(memory=512, cpu=256)), OUR),
]


def said(rewritten: Rewritten, severity: str) -> list[tuple[str, str]]:
    """Codes and paths, as they are shown."""
    lines = [show(problem) for problem in rewritten.problems if problem.severity == severity]
    return [(line.rpartition(" [")[2].rstrip("]"), line.split(": ")[1]) for line in lines]


@pytest.mark.parametrize(("code", "path", "task", "wish"), REFUSED)
def test_it_is_refused(code: str, path: str, task: Any, wish: GuardOptions) -> None:
    """Nothing is changed, and what is wrong, where, and what to do is said."""
    guarded = guard(task, wish)
    assert (code, path) in said(guarded, "error")
    assert guarded.definition is task and not guarded.edits


@pytest.mark.parametrize(("code", "path", "task", "wish"), WARNED)
def test_it_is_warned_of(code: str, path: str, task: Any, wish: GuardOptions) -> None:
    """It is guarded all the same, and can be undone."""
    guarded = guard(task, wish)
    assert (code, path) in said(guarded, "warning"), guarded.problems
    assert guarded.edits and unguard(guarded.definition).definition == task


@pytest.mark.parametrize(("task", "wish"), [row[1:] for row in QUIET], ids=[row[0] for row in QUIET])
def test_nothing_is_said_of_it(task: Any, wish: GuardOptions) -> None:
    """The near misses: neither refused nor warned of."""
    guarded = guard(task, wish)
    assert said(guarded, "error") + said(guarded, "warning") == []
    assert guarded.edits


def test_every_problem_has_a_remedy() -> None:
    """Two sentences each, told in one line."""
    for _, _, task, wish in [*REFUSED, *WARNED]:
        for problem in guard(task, wish).problems:
            assert problem.says.endswith((".", "?")) and problem.remedy.endswith((".", "?"))
            assert "\n" not in show(problem)


def test_an_error_that_is_accepted_is_a_warning() -> None:
    """Those that one may know better about; the others stay errors."""
    for code, path, task, wish in REFUSED:
        accepting = GuardOptions(**{**vars(wish), "accept": frozenset([code])})
        guarded = guard(task, accepting)
        severity = "warning" if code in ACCEPTABLE else "error"
        assert (code, path) in said(guarded, severity), (code, guarded.problems)


def test_a_second_sidecar_is_refused() -> None:
    """Two with our label: which of them remembers what was there cannot be told."""
    guarded = guard(fargate(), OUR).definition
    *others, sidecar = guarded["containerDefinitions"]
    twice = {**guarded, "containerDefinitions": [*others, sidecar, {**sidecar, "name": "again"}]}
    assert ("second-sidecar", "containerDefinitions[2]") in said(guard(twice, OUR), "error")


@pytest.mark.parametrize(
    "label", [None, "", "x", "[]", '{"volume": 1}', '{"volume":"v","fields":{"family":[]}}', "[" * 9999]
)
def test_an_edited_label_is_refused(label: str | None) -> None:
    """What was there before cannot be told: nothing is guessed, by guard and unguard alike."""
    guarded = guard(fargate(), OUR).definition
    *others, sidecar = guarded["containerDefinitions"]
    labels = {"outrider.version": "0.1.0", **({} if label is None else {"outrider.undo": label})}
    edited = {**guarded, "containerDefinitions": [*others, {**sidecar, "dockerLabels": labels}]}
    path = "containerDefinitions[1].dockerLabels"
    assert ("undo-unreadable", f"{path}.outrider.undo") in said(guard(edited, OUR), "error")
    assert said(unguard(edited), "error") == [("undo-unreadable", path)]
    assert unguard(edited).definition is edited


def test_what_is_nested_too_deep_is_refused() -> None:
    """A thousand lists within each other are an answer, too."""
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    assert said(guard(fargate(dockerLabels=deep), OUR), "error") == [("too-deep", "(the definition)")]
    assert unguard(fargate(dockerLabels=deep)).refused


@pytest.mark.parametrize(
    ("service", "codes"),
    [
        ({}, []),
        ({"platformVersion": "LATEST"}, []),
        ({"platformVersion": "1.4.0"}, []),
        ({"platformVersion": "1.3.0"}, ["platform-version"]),
        ({"platformVersion": {"Ref": "AWS::NoValue"}, "enableExecuteCommand": True}, ["ecs-exec"]),
        ({"platformVersion": {"Ref": "Version"}, "enableExecuteCommand": "true"}, ["platform-version", "ecs-exec"]),
        ({"enableExecuteCommand": {"Ref": "Exec"}}, ["ecs-exec"]),
        ({"enableExecuteCommand": {"Ref": "AWS::NoValue"}, "launchType": "FARGATE"}, []),
        ({"launchType": "EXTERNAL"}, ["external"]),
    ],
)
def test_the_service_is_judged(service: dict[str, Any], codes: list[str]) -> None:
    """What the definition cannot say: the platform version, and ECS Exec."""
    assert [problem.code for problem in check_service(service)] == codes


def test_a_size_that_is_not_known_yet_is_noted() -> None:
    """Whether the sidecar fits cannot be told, and that is said."""
    guarded = guard(fargate(cpu=CHOSEN, memory=CHOSEN), OUR)
    assert {("size-unknown", "cpu"), ("size-unknown", "memory")} <= set(said(guarded, "note"))


def test_a_task_that_may_be_placed_on_arm_is_noted() -> None:
    """On EC2 any machine may take a definition without a processor; Fargate takes it for x86-64."""
    assert ("arm-unknown", "(the definition)") in said(guard(ec2(), OUR), "note")
    assert "arm-unknown" not in [code for code, _ in said(guard(fargate(), OUR), "note")]
    both = options(image_arm64=OUR.image)
    assert "arm-unknown" not in [code for code, _ in said(guard(ec2(), both), "note")]


def test_a_sidecar_without_labels_is_not_taken_out_in_silence() -> None:
    """What was there before it cannot be told; that it is still there can."""
    *others, sidecar = guard(fargate(), OUR).definition["containerDefinitions"]
    bare = {key: value for key, value in sidecar.items() if key != "dockerLabels"}
    kept = unguard(fargate(*others, bare))
    assert said(kept, "warning") == [("not-ours", "containerDefinitions[1]")] and not kept.edits
    assert said(unguard(fargate()), "warning") == []


def test_a_token_given_for_its_arn_is_not_repeated() -> None:
    """Messages go into logs of pipelines."""
    assert not any("hunter2" in show(problem) for problem in guard(fargate(), options(token_secret="hunter2")).problems)


def test_containers_behind_a_function_are_refused_with_the_reason() -> None:
    """A list that is known at deployment only is not called something else."""
    problem = next(each for each in guard(fargate(containerDefinitions=CHOSEN), OUR).problems)
    assert (problem.code, "known at deployment only" in problem.says) == ("no-containers", True)


def test_the_log_of_the_app_is_not_shared_with_us_by_mistake() -> None:
    """The sidecar's options are a copy: the app's keep theirs."""
    task = fargate()
    guard(task, OUR)
    assert task["containerDefinitions"][0]["logConfiguration"] == LOG
