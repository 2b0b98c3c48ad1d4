"""The page on the user's own files and settings, in a start of its own."""

import asyncio
import json
import subprocess
import sys

import pytest
from jhk8s_singleuser.server import build_environment
from jhk8s_singleuser.spec_parser import parse_spec

from tests.docs.snippets import PROJECT, find_snippets, load_options, make_parts
from tests.support.pods import notebook_of
from tests.support.profiles import make_profile

PAGE = PROJECT / "docs/how-to/user-configuration.md"
SNIPPETS = [snippet for snippet in find_snippets(PAGE) if snippet.language == "yaml"]
LINKED, DIRECT, FILES, SKELETON, UMASK = SNIPPETS
EXAMPLE = "jupyter/.jupyter/jupyter_server_config.py"


@pytest.fixture(autouse=True)
def no_kubeconfig(monkeypatch):
    """KubeSpawner's constructor looks for a cluster; nothing here calls one."""
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)


def build(snippet):
    """Return the start spec and the variables of a pod of Ada's."""
    return asyncio.run(build_pod(snippet))


async def build_pod(snippet):
    spawner = make_parts(load_options(snippet.text, str(snippet)))["spawner"]
    spawner.user.name = "ada"
    spawner.user.admin = False
    await spawner.run_auth_state_hook({"profile": make_profile().to_auth_state()})
    await spawner.load_user_options()
    manifest = spawner.api.api_client.sanitize_for_serialization(await spawner.get_pod_manifest())
    variables = {each["name"]: each.get("value") for each in notebook_of(manifest)["env"]}
    return json.loads(manifest["metadata"]["annotations"]["jhk8s-ext/start"]), variables


def test_shells_drop_what_sudo_says(container):
    document, _ = build(LINKED)
    container.provide(container.store)
    container.provide(container.store / "jupyter")
    (container.store / "jupyter/.bashrc").write_text("export MINE=1\n")
    container.write_spec(document)
    say = "env; pwd"
    for shell in (("bash", "-lc"), ("bash", "-ic")):
        script = (
            f"SUDO_USER=root SUDO_COMMAND=sh SUDO_UID=0 SUDOKU=1 exec {' '.join(shell)} '{say}'"
        )
        done = container.start("sh", "-c", script)
        assert "jhk8s-start" not in done.stderr
        *variables, directory = done.stdout.splitlines()
        assert [each for each in variables if each.startswith("SUDO")] == ["SUDOKU=1"], done.stderr
        assert "MINE=1" in variables
        assert directory == f"{container.home}/jupyter"


def test_no_variable_of_sudo_reaches_the_server(linked):
    spec = parse_spec(linked)
    variables = {f"SUDO_{name}": "x" for name in ("USER", "UID", "GID", "COMMAND", "ASKPASS", "")}
    assert "SUDOKU" in build_environment(spec, {**variables, "SUDOKU": "1"})
    assert not [name for name in build_environment(spec, variables) if name.startswith("SUDO_")]


@pytest.mark.parametrize("snippet", [LINKED, DIRECT], ids=["linked", "direct"])
def test_jupyter_loads_the_users_own_settings(container, snippet):
    document, variables = build(snippet)
    real = container.store if snippet is LINKED else container.home
    container.provide(real)
    config = real / EXAMPLE
    config.parent.mkdir(parents=True)
    config.write_text("c.ServerApp.custom_display_url = 'http://mine.example.edu'\n")
    container.write_spec(document)
    chosen = {
        name: value.replace("/home/", f"{container.root}/home/")
        for name, value in variables.items()
        if name.startswith("JUPYTER_CONFIG")
    }
    assert bool(chosen) is (snippet is DIRECT)
    started = container.start("env", **chosen)
    assert started.stderr == ""
    # As whoever runs the tests: their interpreter may be out of the user's reach.
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_server", "--show-config-json"],
        env=dict(line.split("=", 1) for line in started.stdout.splitlines()),
        capture_output=True,
        text=True,
        check=True,
    )
    shown = json.loads(done.stdout)
    assert shown["ServerApp"]["custom_display_url"] == "http://mine.example.edu"


def test_the_example_of_files(container):
    document, _ = build(FILES)
    container.write_spec(document)
    done = container.start(
        "sh", "-c", "stat -c '%a %n' .bashrc .config/lab/notes.txt; cat README.txt"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "644 .bashrc\n600 .config/lab/notes.txt\nAsk help@example.edu.\n"


def test_the_example_of_an_umask(container):
    document, _ = build(UMASK)
    container.write_spec(document)
    done = container.start("sh", "-c", "umask")
    assert (done.returncode, int(done.stdout, 8)) == (0, 0o007)


def test_the_example_of_a_skeleton():
    document, _ = build(SKELETON)
    assert document["home"]["skeleton"] == "/etc/skel"
