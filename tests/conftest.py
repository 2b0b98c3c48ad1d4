"""What the tests of every room share."""

import json

import hypothesis
import pytest

from tests.support.docker_registry import DockerRegistry
from tests.support.slapd import Slapd

# How long one example takes says more about the machine than about the code.
hypothesis.settings.register_profile("jhk8s", deadline=None)
hypothesis.settings.load_profile("jhk8s")


def pytest_addoption(parser):
    parser.addoption(
        "--regenerate",
        action="store_true",
        help="rewrite the golden files in tests/data, for review, instead of comparing with them",
    )


@pytest.fixture
def assert_golden(request):
    """Return a function that compares a JSON document with a file, or rewrites the file."""

    def check(path, document):
        if request.config.getoption("regenerate"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
        assert document == json.loads(path.read_text()), (
            f"{path.name} differs: if that is wanted, run pytest with --regenerate and review it"
        )

    return check


@pytest.fixture(scope="session")
def slapd(tmp_path_factory):
    """Return a directory with the test bed's tree, on loopback."""
    server = Slapd(tmp_path_factory.mktemp("slapd"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def open_registry(tmp_path_factory):
    """Return a docker-registry for everybody. Tests push to repositories of their own."""
    server = DockerRegistry(tmp_path_factory.mktemp("registry"), deletes=True)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def closed_registry(tmp_path_factory):
    """Return a docker-registry that asks for a password."""
    server = DockerRegistry(tmp_path_factory.mktemp("registry"), asks_for_password=True)
    yield server
    server.stop()
