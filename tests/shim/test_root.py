"""The shim below a folder, as `jhk8s demo` runs it where there are no user namespaces."""

from __future__ import annotations

import json
import os

import pytest
from jhk8s_singleuser.server import relocate_home

from jhk8s_ext.cli.demo.image import write_relocated_shim


@pytest.fixture
def launcher(container):
    """Return a shim for which the container's folder is ``/``."""
    path = container.root / "jhk8s-start"
    write_relocated_shim(path, container.root, container.zipapp)
    return path


def provide(container, document):
    """Write the spec as it stands in the annotation, and mount what it says is mounted."""
    if os.getuid() != 0:
        document["user"].update(uid=os.getuid(), gid=os.getgid())
    (container.root / "etc" / "jhk8s").mkdir(parents=True)
    (container.root / "etc" / "jhk8s" / "start.json").write_text(json.dumps(document))
    if document["home"]["store"]:
        container.provide(container.store)


def start(container, launcher, *command, **environ):
    words = (container.python, "-I", "-S", str(launcher))
    # empty: the spec is where it is in a pod
    return container.as_user(*words, *command, **{"JHK8S_START_SPEC": "", **environ})


def test_everything_is_below_the_folder_and_home_leads_there(container, launcher, linked):
    provide(container, linked)
    script = "pwd -P; echo $HOME; echo kept > ~/work/note"
    done = start(container, launcher, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(container.store / "work"), str(container.home)]
    assert (container.store / "work" / "note").read_text() == "kept\n"


def test_neither_an_argument_nor_a_variable_moves_the_shim(container, ephemeral):
    """The stock shim, as every image has it, looks at / whatever it is told."""
    provide(container, ephemeral)
    folder = str(container.root)
    environ = {"JHK8S_ROOT": folder, "JHK8S_DEMO_ROOT": folder, "ROOT": folder}
    done = start(container, container.zipapp, f"--root={folder}", "true", **environ)
    assert done.returncode == 71
    assert "start spec /etc/jhk8s/start.json cannot be read" in done.stderr


def test_a_container_keeps_its_home():
    assert relocate_home({"HOME": "/home/ada", "A": "b"}, "/") == {"HOME": "/home/ada", "A": "b"}
