import pytest

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.image import parse_host
from jhk8s_ext.menu.registries import RegistrySettings, parse_registries


def test_a_registry_is_asked_as_the_operator_says():
    found = parse_registries(
        {
            "registry.example.edu:5000": {"ca_file": "/etc/ca.crt", "token_hosts": ["id.org"]},
            "localhost:5000": {"plain_http": True},
            "docker.io": None,
        }
    )
    assert found == {
        "registry.example.edu:5000": RegistrySettings(
            ca_file="/etc/ca.crt", is_plain=False, token_hosts=frozenset({"id.org"})
        ),
        "localhost:5000": RegistrySettings(ca_file="", is_plain=True, token_hosts=frozenset()),
        "registry-1.docker.io": RegistrySettings(
            ca_file="", is_plain=False, token_hosts=frozenset()
        ),
    }


@pytest.mark.parametrize(
    ("host", "item", "problem"),
    [
        # To Kubernetes these are images of Docker Hub.
        ("registry", {}, "['registry']: is not the host of a registry"),
        ("library", {}, "['library']: is not the host of a registry"),
        ("ghcr.io/example", {}, "['ghcr.io/example']: is not the host of a registry"),
        ("https://ghcr.io", {}, "['https://ghcr.io']: is not the host of a registry"),
        ("", {}, "['']: is not the host of a registry"),
        ("h.io:\u0661", {}, "is not the host of a registry"),
        ("h.io\n", {}, "is not the host of a registry"),
        (5000, {}, "[5000]: is not the host of a registry"),
        ("ghcr.io", [], "['ghcr.io']: [] is not a mapping"),
        ("ghcr.io", {"plain": True}, "['ghcr.io'].plain: there is no such key"),
        ("ghcr.io", {"plain_http": "no"}, "['ghcr.io'].plain_http: 'no' is not true or false"),
        ("ghcr.io", {"token_hosts": "id.org"}, "['ghcr.io'].token_hosts: 'id.org' is not a list"),
    ],
)
def test_a_registry_that_cannot_be_is_refused(host, item, problem):
    with pytest.raises(ConfigError) as caught:
        parse_registries({host: item})
    assert str(caught.value).startswith("ImageMenu.registries[")
    assert problem in str(caught.value)


def test_one_registry_has_one_item():
    with pytest.raises(ConfigError, match="is there twice, in another spelling"):
        parse_registries({"docker.io": {}, "index.docker.io": {"plain_http": True}})


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("localhost", "localhost"),
        ("10.88.0.1:5000", "10.88.0.1:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("index.docker.io", "registry-1.docker.io"),
    ],
)
def test_a_host_is_named_as_images_have_it(text, host):
    assert parse_host(text) == host
