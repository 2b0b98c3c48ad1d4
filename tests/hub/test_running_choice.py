"""What the hub knows, and tells, of the choice that a server runs."""

from __future__ import annotations

import json

import pytest

from tests.support.pods import DIGEST, notebook_of
from tests.support.spawners import make_auth_state, make_spawner

#: Of a registry that nobody runs.
IMAGE = f"127.0.0.1:9/lab:w_2026_45@{DIGEST}"
TITLE = "Weekly $(HOME) {username} {0}"
MENU = {
    "images": [{"name": "lab", "title": TITLE, "image": IMAGE}],
    "sizes": [{"name": "small", "cpu": 1, "resources": {"nvidia.com/gpu": 1}}],
    "flags": ["clear_local", {"name": "dev", "environment": {"API": "dev"}}],
    "cache_file": "",
}
OPTIONS = {"profile": "lab", "size": "small", "clear_local": "yes", "dev": "yes"}
CHOICE = {
    "entry": "lab",
    "title": TITLE,
    "image": IMAGE,
    "digest": DIGEST,
    "flags": ["clear_local", "dev"],
    "size": {
        "name": "small",
        "title": "Small",
        "cpu": 1.0,
        "memory_bytes": 2 * 1024**3,
        "resources": {"nvidia.com/gpu": 1},
    },
}


@pytest.fixture
async def spawner(monkeypatch):
    """Return a spawner that has chosen."""
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)
    made = make_spawner(environment={"JUPYTER_SERVER_SIZE": "{unescaped_username}'s"})
    made.config.ImageMenu.update(MENU)
    await made.run_auth_state_hook(make_auth_state())
    made.user_options = OPTIONS
    await made.load_user_options()
    yield made
    await made.menu.discovery().stop()


async def test_the_pod_that_is_created_tells_it(spawner):
    pod = await spawner.get_pod_manifest()
    manifest = spawner.api.api_client.sanitize_for_serialization(pod)
    notebook = notebook_of(manifest)
    assert notebook["image"] == IMAGE
    environment = {entry["name"]: entry.get("value") for entry in notebook["env"]}
    assert environment["JUPYTER_IMAGE"] == environment["JUPYTER_IMAGE_SPEC"] == IMAGE
    assert environment["JUPYTER_IMAGE_DIGEST"] == DIGEST
    # Never a template of ours, and for Kubernetes a dollar that is meant.
    assert environment["JUPYTER_IMAGE_TITLE"] == TITLE.replace("$", "$$")
    assert environment["API"] == "dev"
    # What an operator has set is theirs.
    assert environment["JUPYTER_SERVER_SIZE"] == "ada's"
    assert [entry["name"] for entry in notebook["env"]].count("JUPYTER_SERVER_SIZE") == 1
    annotations = manifest["metadata"]["annotations"]
    assert annotations["jhk8s-ext/image-title"] == TITLE
    assert annotations["jhk8s-ext/size"] == "small"
    start = json.loads(annotations["jhk8s-ext/start"])
    assert start["image"] == {"reference": IMAGE, "digest": DIGEST, "title": TITLE}
    assert start["size"]["memory_bytes"] == 2 * 1024**3
    assert start["move_aside"] == [".local"]


async def test_a_restarted_hub_knows_it_and_a_stopped_server_has_none(spawner):
    state = spawner.get_state()
    assert state["jhk8s_choice"] == CHOICE
    again = make_spawner()
    again.load_state(json.loads(json.dumps(state)))
    assert again.get_state()["jhk8s_choice"] == CHOICE
    for each in (spawner, again):
        each.clear_state()
        assert "jhk8s_choice" not in each.get_state()
    assert spawner.choice is None
