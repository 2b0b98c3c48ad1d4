"""The shim on each Python that an image may have, as far as this machine has it."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

VERSIONS = [f"3.{minor}" for minor in range(9, 15)]


@pytest.fixture(scope="module", params=VERSIONS)
def any_python(request):
    """Return the path of an interpreter of this version, and the variables that it needs."""
    name = f"python{request.param}"
    if found := shutil.which(name, path="/usr/local/bin:/usr/bin"):
        yield found, {}
        return
    installed = sorted((Path.home() / ".pyenv" / "versions").glob(f"{request.param}.*"))
    if not installed:
        pytest.skip(f"there is no {name} on this machine")
    # What is root's is out of the user's reach.
    copy = Path(tempfile.mkdtemp(prefix="jhk8s-python-"))
    copy.chmod(0o755)
    copy_python(installed[-1], copy, name)
    yield str(copy / "bin" / name), {"LD_LIBRARY_PATH": str(copy / "lib")}
    shutil.rmtree(copy)


def copy_python(source, target, name):
    for folder in ("bin", "lib"):
        (target / folder).mkdir()
    shutil.copy(source / "bin" / name, target / "bin")
    for library in (source / "lib").glob("libpython*"):
        shutil.copy(library, target / "lib")
    unused = shutil.ignore_patterns("test", "site-packages", "idlelib", "config-*", "__pycache__")
    shutil.copytree(source / "lib" / name, target / "lib" / name, ignore=unused)


@pytest.fixture
def start(container, any_python):
    """Return a function that runs the shim on this version, where a warning is an error."""
    python, needed = any_python

    def run(*arguments, **environ):
        shim = [python, "-I", "-S", "-W", "error", str(container.zipapp)]
        return container.as_user(*shim, *arguments, **needed, **environ)

    return run


def test_every_supported_python(container, linked, start):
    container.write_spec(linked)
    container.provide(container.store)
    done = start("sh", "-c", "pwd -P; id -u; id -g; env")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{container.store}/work\n{os.getuid() or 10001}\n")


def test_a_start_in_a_home_of_its_own(container, linked, start):
    linked["home"]["skeleton"] = "/etc/skel"
    linked["home"]["umask"] = "0027"
    linked["files"] = [{"path": "hello", "text": "Hello\n", "mode": "0600", "replace": True}]
    linked["git_credentials"] = [
        {"host": "git.example", "username": "ada", "variable": "JHK8S_TOKEN"}
    ]
    linked["move_aside"] = ["work"]
    container.write_spec(linked)
    container.provide(container.store)
    script = "umask; cat ~/hello ~/.git-credentials; readlink ~/work; ls -a ~; pwd"
    for _ in range(2):  # the second one finds what the first has made
        done = start("sh", "-c", script, JHK8S_TOKEN="secret")
        assert done.returncode == 0, done.stderr
        said = done.stdout.splitlines()
        store = container.store / "work"
        assert said[:4] == ["0027", "Hello", "https://ada:secret@git.example", str(store)]
        assert {".bashrc", ".gitconfig", "README.txt", "store"} <= set(said)
        assert said[-1] == str(store)


def test_a_start_that_fails_says_why(container, direct, start):
    container.write_spec(direct)
    done = start("true")
    assert done.returncode == 78
    assert done.stderr.endswith("as uid 10001: No such file or directory\n")
    assert container.termination_log.read_text() in done.stderr
