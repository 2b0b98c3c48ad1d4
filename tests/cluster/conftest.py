"""The test bed as fixtures. `make e2e` brings it up; README.md here says what it is."""

import contextlib
import secrets
import time

import pytest

from tests.support.bed import Kubectl, load_bed


@pytest.fixture(scope="session")
def bed():
    try:
        return load_bed()
    except FileNotFoundError as error:
        pytest.fail(f"{error}: bring up the test bed (make e2e)")


@pytest.fixture(scope="session")
def kubectl(bed):
    return Kubectl(bed)


@pytest.fixture
def namespace(bed):
    """Return kubectl in a namespace of the test's own, gone with all it holds afterwards."""
    with _fresh_namespace(bed) as inside:
        yield inside


@pytest.fixture(scope="module")
def module_namespace(bed):
    """Return the same for all tests of a module."""
    with _fresh_namespace(bed) as inside:
        yield inside


@contextlib.contextmanager
def _fresh_namespace(bed):
    inside = Kubectl(bed, f"test-{secrets.token_hex(4)}")
    inside.text("create", "namespace", inside.namespace)
    # A pod made before its namespace has the default service account is refused.
    wait = ("get", "serviceaccounts", "--field-selector=metadata.name=default")
    deadline = time.monotonic() + 30
    while not inside.json(*wait)["items"]:
        assert time.monotonic() < deadline, "no default service account"
        time.sleep(0.1)
    yield inside
    inside.text("delete", "namespace", inside.namespace, "--wait=false")
