"""Pods as the demo's local runner runs them, with user namespaces and without."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import os
import stat
import time

import pytest
from kubernetes_asyncio.client.exceptions import ApiException

from jhk8s_ext.cli.demo.demo import look_at_computer
from tests.support.local_runner import (
    MARK,
    NAMESPACE,
    LocalRunner,
    make_pod,
    marked_processes,
    phase,
    python,
    shell,
)

pytestmark = pytest.mark.skipif(os.uname().sysname != "Linux", reason="needs /proc")


@pytest.fixture
async def contained():
    """Return a runner whose containers have user namespaces."""
    async with LocalRunner(namespaces=True) as running:
        yield running


@pytest.fixture
async def relocated():
    """Return a runner whose containers are plain processes."""
    async with LocalRunner(namespaces=False) as running:
        yield running


@pytest.fixture(params=["namespaces", "namespaces but PID", "folder"])
async def runner(request):
    async with LocalRunner(
        namespaces=request.param != "folder", pid_namespace=request.param == "namespaces"
    ) as running:
        yield running


async def secret(runner, name, **values):
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    await runner.api.create_namespaced_secret(NAMESPACE, {"metadata": {"name": name}, "data": data})


async def test_a_command_runs_and_ends(runner):
    assert await runner.run(make_pod(shell("echo hello"))) == "hello\n"
    status = runner.find()["status"]
    assert status["phase"] == "Succeeded"
    assert status["podIP"].startswith("127.")
    (container,) = status["containerStatuses"]
    assert container["state"]["terminated"]["reason"] == "Completed"
    assert ("Started", "Started container main") in runner.events()


async def test_init_containers_run_one_after_the_other_before_the_others(runner):
    volume = {"name": "shared", "emptyDir": {}}
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    # Without namespaces /shared is a link below the working directory.
    script = "cd ./shared; ls | wc -l; sleep 0.2; touch $0"
    first, second, main = (
        shell("", name=name, command=["sh", "-c", script, name], volumeMounts=mounts)
        for name in ("first", "second", "main")
    )
    log = await runner.run(make_pod(main, initContainers=[first, second], volumes=[volume]))
    assert log == "2\n"
    assert await runner.log(container="second") == "1\n"
    assert all(
        status["state"]["terminated"]["exitCode"] == 0
        for status in runner.find()["status"]["initContainerStatuses"]
    )


async def test_an_init_container_that_fails_ends_the_pod(runner):
    first = shell(
        "echo no >&2; exit 3", name="first", terminationMessagePolicy="FallbackToLogsOnError"
    )
    await runner.create(make_pod(shell("echo never"), initContainers=[first]))
    pod = await runner.wait(phase("Failed"))
    (status,) = pod["status"]["initContainerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 3
    assert status["state"]["terminated"]["message"] == "no\n"
    with pytest.raises(ApiException) as error:
        await runner.api.read_namespaced_pod_log("pod", NAMESPACE, container="main")
    assert error.value.status == 400


async def test_the_environment_is_expanded_as_in_kubernetes(runner):
    await secret(runner, "keys", token="s3cret")
    await runner.api.create_namespaced_config_map(
        NAMESPACE, {"metadata": {"name": "settings"}, "data": {"COLOUR": "blue"}}
    )
    env = [
        {"name": "A", "value": "a"},
        {"name": "B", "value": "$(A)b $(LATER) $$(A)"},
        {"name": "LATER", "value": "later"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
        {
            "name": "NONE",
            "valueFrom": {"secretKeyRef": {"name": "no", "key": "no", "optional": True}},
        },
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {
            "name": "MEMORY",
            "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
        },
    ]
    script = "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"
    container = python(
        script,
        env=env,
        envFrom=[{"prefix": "MY_", "configMapRef": {"name": "settings"}}],
        args=["$(A)", "$(NOT_SET)", "$$(A)"],
        resources={"limits": {"memory": "1Gi"}},
    )
    environ, arguments = json.loads(await runner.run(make_pod(container)))
    assert environ["B"] == "ab $(LATER) $(A)"
    assert environ["TOKEN"] == "s3cret"
    assert environ["IP"] == runner.find()["status"]["podIP"]
    assert environ["LABEL"] == "test"
    assert environ["MEMORY"] == "1024"
    assert environ["MY_COLOUR"] == "blue"
    assert "NONE" not in environ
    # Nothing of who runs the demo, such as tokens in the environment, is handed on.
    assert environ.keys() <= {
        *(entry["name"] for entry in env),
        *("MY_COLOUR", "PATH", "LANG", "HOSTNAME", "LC_CTYPE", "PWD", "SHLVL", "_"),
    }
    assert arguments == ["a", "$(NOT_SET)", "$(A)"]


async def test_a_secret_that_is_missing_is_waited_for(runner):
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}}]
    await runner.create(make_pod(shell("echo $TOKEN", env=env)))

    def waits(pod):
        state = pod["status"]["containerStatuses"][0]["state"] if "hostIP" in pod["status"] else {}
        return state.get("waiting", {}).get("reason") == "CreateContainerConfigError"

    pod = await runner.wait(waits)
    state = pod["status"]["containerStatuses"][0]["state"]
    assert state["waiting"]["message"] == 'secret "keys" not found'
    await secret(runner, "keys", token="there")
    await runner.wait(phase("Succeeded"))
    assert await runner.log() == "there\n"


async def test_volumes_are_files_with_their_modes(runner):
    await secret(runner, "keys", token="s3cret", other="o")
    await runner.api.create_namespaced_config_map(
        NAMESPACE, {"metadata": {"name": "settings"}, "data": {"colour": "blue"}}
    )
    items = [{"key": "token", "path": "deep/token", "mode": 0o400}]
    volumes = [
        {"name": "keys", "secret": {"secretName": "keys", "items": items}},
        {
            "name": "all",
            "projected": {
                "defaultMode": 0o440,
                "sources": [
                    {"secret": {"name": "keys"}},
                    {"configMap": {"name": "settings"}},
                    {
                        "downwardAPI": {
                            "items": [
                                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                                {
                                    "path": "cpu",
                                    "resourceFieldRef": {
                                        "containerName": "main",
                                        "resource": "limits.cpu",
                                        "divisor": "1m",
                                    },
                                },
                            ]
                        }
                    },
                ],
            },
        },
    ]
    mounts = [
        {"name": "keys", "mountPath": "/keys"},
        {"name": "all", "mountPath": "/all", "readOnly": True},
    ]
    script = """
import os
for folder in ("keys/deep", "all"):
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        print(path, oct(os.stat(path).st_mode & 0o777), open(path).read())
"""
    container = python(script, volumeMounts=mounts, resources={"limits": {"cpu": 2}})
    assert (await runner.run(make_pod(container, volumes=volumes))).splitlines() == [
        "keys/deep/token 0o400 s3cret",
        "all/colour 0o440 blue",
        "all/cpu 0o440 2000",
        'all/labels 0o440 app="test"',
        "all/other 0o440 o",
        "all/token 0o440 s3cret",
    ]


async def test_a_claim_lasts_longer_than_its_pod(runner):
    volumes = [{"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}}]
    mounts = [{"name": "disk", "mountPath": "/disk", "subPath": "below"}]
    container = shell("cat disk/file; echo kept > disk/file", volumeMounts=mounts)
    await runner.create(make_pod(container, volumes=volumes))
    await runner.wait_for_event('persistentvolumeclaim "disk" not found')
    claim = {"metadata": {"name": "disk"}, "spec": {}}
    await runner.api.create_namespaced_persistent_volume_claim(NAMESPACE, claim)
    await runner.wait(phase("Succeeded"))
    await runner.api.delete_namespaced_pod("pod", NAMESPACE)
    await runner.gone()
    assert runner.folders() == [runner.folder / "pods" / NAMESPACE]
    assert list((runner.folder / "pods" / NAMESPACE).iterdir()) == []
    assert await runner.run(make_pod(container, volumes=volumes)) == "kept\n"
    assert (runner.claims / "disk" / "below" / "file").read_text() == "kept\n"


async def test_a_sub_path_does_not_lead_out_of_its_volume(runner, tmp_path):
    tmp_path.joinpath("secret").write_text("secret")
    runner.claims.joinpath("disk").mkdir(parents=True)
    runner.claims.joinpath("disk", "link").symlink_to(tmp_path)
    claim = {"metadata": {"name": "disk"}, "spec": {}}
    await runner.api.create_namespaced_persistent_volume_claim(NAMESPACE, claim)
    volumes = [{"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}}]
    for index, (path, problem) in enumerate(
        (("link", "leads out of its volume"), ("../..", "leaves the volume"))
    ):
        name = f"pod-{index}"
        mounts = [{"name": "disk", "mountPath": "/disk", "subPath": path}]
        await runner.create(
            make_pod(shell("cat /disk/secret", volumeMounts=mounts), name=name, volumes=volumes)
        )
        await runner.wait_for_event(problem, name)


async def test_host_paths_are_checked(runner, tmp_path):
    tmp_path.joinpath("file").write_text("here\n")
    mounts = [{"name": "host", "mountPath": "/host"}]
    good = {"name": "host", "hostPath": {"path": str(tmp_path), "type": "Directory"}}
    pod = make_pod(shell("cat host/file", volumeMounts=mounts), volumes=[good])
    assert await runner.run(pod) == "here\n"
    bad = {"name": "host", "hostPath": {"path": str(tmp_path / "no"), "type": "Directory"}}
    await runner.create(make_pod(shell("true", volumeMounts=mounts), name="other", volumes=[bad]))
    await runner.wait_for_event("type check failed", "other")
    assert runner.find("other")["status"]["phase"] == "Pending"


async def test_what_the_runner_does_not_do_is_said(runner):
    container = shell(
        "true",
        resources={"limits": {"memory": "1Gi"}, "requests": {"cpu": 1}},
        readinessProbe={"exec": {"command": ["true"]}},
        securityContext={"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}},
    )
    sidecars = [
        {"name": "db", "image": "mariadb:11"},
        {"name": "agent", "image": "agent", "command": ["no-such-program", "--now"]},
    ]
    await runner.run(make_pod(container, *sidecars, nodeSelector={"gpu": "yes"}, tolerations=[]))
    said = {
        message.split(" was left out: ")[0]: message
        for reason, message in runner.events()
        if reason == "LeftOut"
    }
    assert "the command of its image mariadb:11 is not known here" in said["Container db"]
    assert "no-such-program is not installed on this computer" in said["Container agent"]
    (paths,) = (message for message in said.values() if message.startswith("The local runner"))
    assert paths.removeprefix("The local runner leaves out: ").split(", ") == [
        "spec.nodeSelector",
        "containers[main].readinessProbe",
        "containers[main].resources.limits",
        "containers[main].securityContext.capabilities.add",
    ]
    # A sidecar that is left out holds nothing up.
    names = [status["name"] for status in runner.find()["status"]["containerStatuses"]]
    assert names == ["main"]


async def test_a_volume_of_an_unknown_kind_holds_the_pod_up(runner):
    volumes = [{"name": "far", "nfs": {"server": "10.0.0.5", "path": "/export"}}]
    mounts = [{"name": "far", "mountPath": "/far"}]
    await runner.create(make_pod(shell("true", volumeMounts=mounts), volumes=volumes))
    await runner.wait_for_event("does not have volumes of kind nfs")
    assert runner.find()["status"]["phase"] == "Pending"


async def test_a_sidecar_runs_beside_the_main_container(runner):
    volume = {"name": "shared", "emptyDir": {}}
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    main = shell("until [ -e shared/mark ]; do sleep 0.05; done; echo seen", volumeMounts=mounts)
    sidecar = shell("touch shared/mark; sleep 100", name="sidecar", volumeMounts=mounts)
    await runner.create(make_pod(main, sidecar, volumes=[volume]))
    await runner.wait(
        lambda pod: any(
            "terminated" in status["state"] for status in pod["status"].get("containerStatuses", [])
        )
    )
    assert await runner.log() == "seen\n"
    assert runner.find()["status"]["phase"] == "Running"


async def test_a_native_sidecar_runs_beside_the_others_and_ends_with_them(runner):
    volume = {"name": "shared", "emptyDir": {}}
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    sidecar = shell(
        "touch shared/mark; exec sleep 1000",
        name="sidecar",
        restartPolicy="Always",
        volumeMounts=mounts,
        env=[MARK],
    )
    main = shell("until [ -e shared/mark ]; do sleep 0.05; done; echo seen", volumeMounts=mounts)
    pod = make_pod(main, initContainers=[sidecar], volumes=[volume])
    assert await runner.run(pod) == "seen\n"
    assert runner.find()["status"]["phase"] == "Succeeded"
    for _ in range(100):
        if marked_processes() == []:
            break
        await asyncio.sleep(0.05)
    assert marked_processes() == []


async def test_a_failure_is_told_as_the_kubelet_does(runner):
    failing = shell(
        "echo out; printf 'no home' > ./dev/termination-log; exit 73",
        terminationMessagePolicy="FallbackToLogsOnError",
    )
    await runner.create(make_pod(failing, restartPolicy="OnFailure"))
    pod = await runner.wait(
        lambda pod: any(s["lastState"] for s in pod["status"].get("containerStatuses", []))
    )
    (status,) = pod["status"]["containerStatuses"]
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["lastState"]["terminated"]["exitCode"] == 73
    assert status["lastState"]["terminated"]["message"] == "no home"
    assert not status["ready"]
    assert pod["status"]["phase"] == "Running"


@pytest.mark.parametrize(
    ("command", "code", "problem"),
    [
        (["no-such-program"], 127, "'no-such-program': executable file not found in $PATH"),
        (["/etc"], 126, "'/etc': Permission denied"),
    ],
)
async def test_a_command_that_cannot_run(runner, command, code, problem):
    await runner.create(make_pod(shell("", command=command)))
    pod = await runner.wait(phase("Failed"))
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (code, "StartError")
    assert problem in ended["message"]


async def test_deletion_asks_first_and_insists_later(runner):
    polite = shell(
        "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done", env=[MARK]
    )
    deaf = shell("trap '' TERM; echo up; while :; do sleep 0.05; done", name="deaf", env=[MARK])
    await runner.create(make_pod(polite, deaf))
    for name in ("main", "deaf"):
        for _ in range(400):
            if await runner.log(container=name) == "up\n":
                break
            await asyncio.sleep(0.05)
    assert marked_processes() != []
    begin = time.monotonic()
    await runner.api.delete_namespaced_pod("pod", NAMESPACE, grace_period_seconds=1)
    deleted = runner.find()
    assert deleted["metadata"]["deletionGracePeriodSeconds"] == 1
    assert deleted["metadata"]["deletionTimestamp"]
    await runner.gone()
    assert time.monotonic() - begin > 0.9
    assert marked_processes() == []
    assert ("Killing", "Stopping container main") in runner.events()


async def test_what_a_container_started_ends_with_it(runner):
    """Also what left its session, as kernels do."""
    script = """
import subprocess, time
subprocess.Popen(["sleep", "1000"], start_new_session=True)
print("up", flush=True)
"""
    await runner.run(make_pod(python(script, env=[MARK])))
    assert marked_processes() == []


async def test_a_pod_that_is_deleted_at_any_moment_is_gone(runner):
    for index in range(6):
        name = f"pod-{index}"
        await runner.create(make_pod(shell("sleep 1000", env=[MARK]), name=name))
        await asyncio.sleep(0.02 * index)
        await runner.api.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=0)
    for index in range(6):
        await runner.gone(f"pod-{index}")
    assert marked_processes() == []


async def test_each_pod_has_an_address_of_its_own(runner):
    port = {"containerPort": 8888}
    env = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    serve = """
import http.server, os
address = os.environ["IP"], 8888
http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
"""
    for name in ("one", "two"):
        await runner.create(make_pod(python(serve, env=env, ports=[port]), name=name))
    for name in ("one", "two"):
        pod = await runner.wait(phase("Running"), name)
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection(pod["status"]["podIP"], 8888)
                break
            except OSError:
                await asyncio.sleep(0.05)
        else:
            raise AssertionError(await runner.log(name))
        writer.close()
        await writer.wait_closed()
    assert runner.find("one")["status"]["podIP"] != runner.find("two")["status"]["podIP"]


async def test_a_contained_process_sees_the_pods_identity_and_paths(contained):
    passwd = "ada:x:10001:10002:Ada:/home/ada:/bin/sh\n"
    pod = make_pod(
        python(
            """
import grp, os, pwd, socket, sys
print(os.getuid(), os.getgid(), pwd.getpwuid(os.getuid()).pw_name, socket.gethostname())
print(os.listdir("/home"), os.path.exists(sys.argv[1]), os.getpid() < 10)
print(open("/etc/jhk8s/file").read())
for path in ("/usr/x", "/etc/x", "/x", "/etc/jhk8s/x", "/home/x", "/tmp/x"):
    try:
        open(path, "w").close()
        print(path, "written")
    except OSError as error:
        print(path, error.strerror)
print(socket.gethostbyname(socket.gethostname()))
names = "CapEff", "NoNewPrivs"
print([line.split()[1] for line in open("/proc/self/status") if line.startswith(names)])
""",
            # Of this computer, and no part of an image.
            args=[__file__],
            securityContext={
                "runAsUser": 10001,
                "runAsGroup": 10002,
                "allowPrivilegeEscalation": False,
            },
            volumeMounts=[
                {"name": "file", "mountPath": "/etc/passwd", "subPath": "passwd"},
                {"name": "file", "mountPath": "/etc/jhk8s", "readOnly": True},
                {"name": "home", "mountPath": "/home"},
            ],
        ),
        volumes=[
            {
                "name": "file",
                "downwardAPI": {
                    "items": [
                        {
                            "path": path,
                            "fieldRef": {"fieldPath": f"metadata.annotations['{path}']"},
                        }
                        for path in ("passwd", "file")
                    ]
                },
            },
            {"name": "home", "emptyDir": {}},
        ],
    )
    pod["metadata"]["annotations"] = {"passwd": passwd, "file": "of the annotation"}
    lines = (await contained.run(pod)).splitlines()
    assert lines == [
        "10001 10002 ada pod",
        "[] False True",
        "of the annotation",
        "/usr/x Read-only file system",
        "/etc/x Read-only file system",
        "/x Read-only file system",
        "/etc/jhk8s/x Read-only file system",
        "/home/x written",
        "/tmp/x written",
        contained.find()["status"]["podIP"],
        "['0000000000000000', '1']",
    ]


async def test_who_may_not_be_root_is_not(contained):
    container = shell("id", securityContext={"runAsUser": 0, "runAsNonRoot": True})
    await contained.create(make_pod(container))
    await contained.wait_for_event("image will run as root")
    assert contained.find()["status"]["phase"] == "Pending"


async def test_without_namespaces_the_identity_is_left_out_aloud(relocated):
    container = shell("true", securityContext={"runAsUser": 10001, "runAsGroup": 10001})
    await relocated.run(make_pod(container))
    (message,) = (message for reason, message in relocated.events() if reason == "LeftOut")
    assert "securityContext.runAsUser" in message
    assert "securityContext.runAsGroup" in message


async def test_the_folder_of_a_pod_is_nobody_elses(runner):
    await runner.run(make_pod(shell("true")))
    mode = (runner.folder).stat().st_mode
    assert stat.S_IMODE(mode) == 0o700


async def test_a_computer_that_allows_no_namespaces_says_why(contained):
    image = dataclasses.replace(contained.image, kept=("/no/such/folder",))
    ability = await look_at_computer(image, contained.folder)
    assert not ability.namespaces
    assert "/no/such/folder" in ability.reason
