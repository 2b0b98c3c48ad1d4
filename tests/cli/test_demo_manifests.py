"""The pods that our spawner builds, run by the local runner with the shim in them."""

from __future__ import annotations

import copy
import json

import pytest

from tests.support.local_runner import NAMESPACE, LocalRunner, phase
from tests.support.pods import HOMES, build, notebook_of, read_kubespawner_pod

#: What the server of these pods is: it says what it sees.
SCRIPT = """
pwd; id -u; id -un; id -gn; getent group cs101; echo $HOME $USER; ls -A
ls /srv/datasets; test -w /srv/datasets && echo writable
echo $JUPYTERHUB_API_TOKEN
echo kept > $1/note
"""
SERVER = ["sh", "-c", SCRIPT, "server"]


def own_pod(home, note):
    """Return the pod of KubeSpawner's options, with a server that ends."""
    manifest = copy.deepcopy(read_kubespawner_pod())
    notebook = notebook_of(manifest)
    notebook |= {"command": [*SERVER, note], "args": []}
    for entry in notebook["env"]:
        if entry["name"] == "JUPYTERHUB_API_TOKEN":
            entry["value"] = "the token"
    return build(manifest, home)


@pytest.fixture
async def runner():
    async with LocalRunner(namespaces=True) as running:
        for name in ("datasets", "homes", "claim-ada"):
            await running.api.create_namespaced_persistent_volume_claim(
                NAMESPACE, {"metadata": {"name": name}, "spec": {}}
            )
            (running.claims / name).mkdir(parents=True)
        (running.claims / "datasets" / "data.csv").touch()
        yield running


async def run(runner, built):
    await runner.api.create_namespaced_secret(NAMESPACE, built.secret.to_manifest({}))
    await runner.create(built.manifest)
    await runner.wait(phase("Succeeded", "Running"), "jupyter-ada")
    pod = await runner.wait(
        lambda pod: any(
            "terminated" in status["state"] for status in pod["status"]["containerStatuses"]
        ),
        "jupyter-ada",
    )
    log = await runner.log("jupyter-ada")
    (status,) = pod["status"]["containerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 0, log
    return log.splitlines()


@pytest.mark.parametrize(
    ("home", "kept", "visible"),
    [
        ("pvc-own-direct", "claim-ada", []),
        ("pvc-direct", "homes/ada", []),
        ("ephemeral", None, ["README.txt"]),
    ],
)
async def test_a_server_starts_as_its_user_on_its_home(runner, home, kept, visible):
    (runner.claims / "homes" / "ada").mkdir()
    lines = await run(runner, own_pod(HOMES[home], "/home/ada"))
    said = [line for line in lines if line.startswith("jhk8s-start: ")]
    # With one gid to be had, the shim says what the other groups are missed for.
    assert [line.split(":")[1] for line in said] == [" user.groups[1]"]
    assert [line for line in lines if line not in said] == [
        "/home/ada",
        "10001",
        "ada",
        "ada",
        "cs101:x:20101:ada",
        "/home/ada ada",
        *visible,
        "data.csv",
        "the token",
    ]
    if kept:
        assert (runner.claims / kept / "note").read_text() == "kept\n"


async def test_a_server_starts_with_links_into_its_home(runner, tmp_path):
    (tmp_path / "ada").mkdir()
    settings = HOMES["hostpath-linked"]
    settings = settings.__class__(
        **{
            **{name: getattr(settings, name) for name in settings.__slots__},
            "volume": {"hostPath": {"path": str(tmp_path), "type": "Directory"}},
        }
    )
    lines = await run(runner, own_pod(settings, "/home/ada/work"))
    assert {".gitconfig", "README.txt", "store", "work"} - set(lines) == set()
    assert (tmp_path / "ada" / "work" / "note").read_text() == "kept\n"


async def test_the_shim_says_why_a_server_does_not_start(runner):
    built = own_pod(HOMES["pvc-direct"], "/home/ada")  # nobody has made homes/ada
    await runner.api.create_namespaced_secret(NAMESPACE, built.secret.to_manifest({}))
    await runner.create(built.manifest)
    pod = await runner.wait(
        lambda pod: any(s["lastState"] for s in pod["status"].get("containerStatuses", [])),
        "jupyter-ada",
    )
    ended = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert ended["exitCode"] == 78
    assert "cannot use the home /home/ada as uid 10001" in ended["message"]


async def test_no_secret_is_in_the_store_but_in_its_secret(runner):
    built = own_pod(HOMES["ephemeral"], "/home/ada")
    await run(runner, built)
    pods = runner.store.list("pods", None, lambda _: True)
    events = runner.store.list("events", None, lambda _: True)
    assert "the token" not in json.dumps([pods, events])


async def test_the_secret_of_a_server_goes_with_its_pod(runner):
    built = own_pod(HOMES["ephemeral"], "/home/ada")
    await run(runner, built)
    pod = runner.find("jupyter-ada")
    owner = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "jupyter-ada",
        "uid": pod["metadata"]["uid"],
    }
    await runner.api.patch_namespaced_secret(
        built.secret.name,
        NAMESPACE,
        {"metadata": {"ownerReferences": [owner]}},
        _content_type="application/merge-patch+json",
    )
    await runner.api.delete_namespaced_pod("jupyter-ada", NAMESPACE)
    await runner.gone("jupyter-ada")
    assert runner.store.find("secrets", NAMESPACE, built.secret.name) is None
