"""The start shim in a ConfigMap, and in the pods that need it."""

import base64
import re
import subprocess

import pytest

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod import delivery
from jhk8s_ext.pod.delivery import build_config_map, config_map_name, root_command
from tests.support.pod_security import check_restricted
from tests.support.pods import build, notebook_of, read_kubespawner_pod

SHIM = b"#!/usr/bin/env python3\nPK\x03\x04\xff\x00"
NAME = "jhk8s-start-0.1.0-01234567"
VOLUME = {"name": "jhk8s-shim", "configMap": {"name": NAME, "defaultMode": 0o555}}
MOUNT = {"name": "jhk8s-shim", "mountPath": "/opt/jhk8s", "readOnly": True}


def test_the_config_map_holds_the_shim_and_cannot_be_changed():
    config_map = build_config_map("0.1.0", SHIM)
    assert base64.b64decode(config_map["binaryData"]["jhk8s-start"]) == SHIM
    assert config_map["immutable"] is True
    metadata = config_map["metadata"]
    digest = metadata["annotations"]["jhk8s-ext/sha256"]
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert metadata["name"] == f"jhk8s-start-0.1.0-{digest[:8]}"
    assert metadata["labels"] == {
        "app.kubernetes.io/name": "jhk8s-start",
        "app.kubernetes.io/managed-by": "jhk8s-ext",
    }
    assert "namespace" not in metadata


def test_another_shim_has_another_name():
    names = [
        config_map_name(version, shim)
        for version in ("0.1.0", "0.2.0")
        for shim in (SHIM, SHIM + b"x")
    ]
    assert len(set(names)) == 4
    assert config_map_name("0.1.0", SHIM) == config_map_name("0.1.0", bytes(SHIM))


@pytest.mark.parametrize("version", ["1.0.0", "1.0.dev3+g0123ABC.d2026", "1!2.0rc1", "1.0+a_b"])
def test_every_version_makes_a_name(version):
    name = config_map_name(version, SHIM)
    # A DNS subdomain, RFC 1123
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", name)


def test_the_notebook_has_the_shim_of_the_config_map():
    pod = build(shim_config_map=NAME, mounts_shim=True).manifest
    assert VOLUME in pod["spec"]["volumes"]
    assert MOUNT in notebook_of(pod)["volumeMounts"]
    assert check_restricted(pod) == []


@pytest.mark.parametrize("name", ["", NAME])
def test_a_notebook_whose_image_has_the_shim_does_without(name):
    """Whatever else of the pod needs the ConfigMap mounts it itself."""
    assert build(shim_config_map=name).manifest == build().manifest


def test_nothing_else_is_at_the_shims_place():
    manifest = read_kubespawner_pod()
    mount = {"name": "no-api-access", "mountPath": "/opt/jhk8s/"}
    notebook_of(manifest).setdefault("volumeMounts", []).append(mount)
    with pytest.raises(ConfigError, match=r"^ProfileKubeSpawner\.start_delivery: .*'/opt/jhk8s'"):
        build(manifest, shim_config_map=NAME, mounts_shim=True)


@pytest.mark.parametrize(
    ("entrypoint", "command", "arguments"),
    [
        ([], None, []),
        ([], ["jupyterhub-singleuser", "--debug"], ["jupyterhub-singleuser", "--debug"]),
        # Without a command of the operator's the shim knows what to start, tini does not.
        (["tini", "--"], None, ["tini", "--", "jupyterhub-singleuser"]),
        (["tini", "--"], ["lab", "--ip=::"], ["tini", "--", "lab", "--ip=::"]),
    ],
)
def test_the_images_entry_point_comes_before_the_server(entrypoint, command, arguments):
    manifest = read_kubespawner_pod()
    notebook = notebook_of(manifest)
    notebook.pop("args", None)
    notebook.pop("command", None)
    if command:
        notebook["args"] = command
    assert notebook_of(build(manifest, entrypoint=entrypoint).manifest)["args"] == arguments


def test_root_starts_no_python_of_the_users(tmp_path):
    """Images have a folder below /home first in PATH, which outlives a container of its pod."""
    for name in ("python3", "sh"):
        (tmp_path / name).write_text("#!/bin/sh\necho pwned\n")
        (tmp_path / name).chmod(0o755)
    shim = tmp_path / "shim"
    shim.write_text("import sys\nprint(sys.flags.isolated, sys.flags.no_site, sys.argv[1:])\n")
    environ = {"PATH": str(tmp_path), "ENV": str(tmp_path / "sh")}
    done = subprocess.run(
        [*root_command(str(shim)), "a b", "$c"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1 1 ['a b', '$c']\n"


def test_an_image_without_python_says_where_it_was_looked_for():
    script = root_command("/shim")
    for place in delivery._PYTHONS:
        script[2] = script[2].replace(place, "/nowhere/python3")
    done = subprocess.run(script, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert "name it in start_command" in done.stderr
