"""Starts of an image menu's choices, with and without its registry."""

from __future__ import annotations

import pytest
import yaml

from tests.support.docker_registry import DockerRegistry
from tests.support.slapd import free_port

MADE_UP = ("--uid", "10001", "--groups", "cs101:20101")
LAB = "registry.example.edu/science/lab"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    server = DockerRegistry(tmp_path_factory.mktemp("registry"))
    for tag in ("w_2026_44", "w_2026_45", "recommended"):
        server.push("science/lab", tag, layers=[tag.encode()])
    yield server
    server.stop()


@pytest.fixture
def render(jhk8s, write_config, tmp_path, monkeypatch):
    """Render, and return the pod and what was said beside it."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, status=0, repository=LAB, **lab):
        image = {"name": "lab", "repository": repository, "scheme": "rubin", **lab}
        config = write_config(
            {
                "LDAPProfileAuthenticator": {"server_address": "127.0.0.1"},
                "ProfileKubeSpawner": {
                    "image": "registry.example.edu/other:1",
                    "cmd": ["jupyterhub-singleuser"],
                    "home_volume": {"persistentVolumeClaim": {"claimName": "homes"}},
                },
                "ImageMenu": {
                    "images": [image, {"name": "r", "image": "quay.io/jupyter/r:1", "pin": False}],
                    "sizes": [
                        {"name": "small", "cpu": 1},
                        {"name": "large", "cpu": 4, "groups": ["cs101"]},
                    ],
                    "request_timeout": 5,
                },
            }
        )
        chosen = [word for pair in arguments for word in ("--option", pair) if "=" in pair]
        options = [pair for pair in arguments if "=" not in pair]
        outcome = jhk8s("render", "ada", "--config", config, *MADE_UP, *chosen, *options)
        assert outcome.status == status, outcome.err
        # The list of the hub that runs here is not touched.
        assert {path.name for path in tmp_path.iterdir()} <= {"config.yaml"}
        pods = [each for each in yaml.safe_load_all(outcome.out) if each["kind"] == "Pod"]
        return (pods[0]["spec"]["containers"][0] if pods else None), outcome.err.splitlines()

    return run


def test_a_choice_without_its_registry(render):
    container, said = render("profile=lab", "image=w_2026_45", "size=large")
    assert container["image"] == f"{LAB}:w_2026_45"
    assert container["resources"]["limits"]["cpu"] == 4
    (line,) = said
    assert line.startswith(
        f"jhk8s: the digest that {LAB}:w_2026_45 is started by is not known here"
    )
    assert line.endswith(": no registry is asked without --ask-registry")


def test_the_default_without_its_registry(render):
    container, said = render(aliases=["latest_weekly"], recommended="recommended")
    assert container["image"] == f"{LAB}:recommended"
    assert len(said) == 1
    container, said = render()
    assert container["image"] == f"{LAB}:<newest>"
    assert said[0].startswith(f"jhk8s: which image of {LAB} is the newest is not known here: name")
    assert len(said) == 1


def test_what_is_started_by_its_tag_leaves_nothing_to_say(render):
    container, said = render("profile=r")
    assert (container["image"], said) == ("quay.io/jupyter/r:1", [])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["profile=lap"], "'lap' is not on the menu"),
        (["image=exp_1"], "'exp_1' is not on offer"),
        (["image=a b"], "'a b' is not on offer"),
        (["size=huge"], "'huge' is not on offer"),
        (["debug=yes"], "is not an option of the chosen menu entry"),
        (["profile=r", "image=2"], "is not an option of the chosen menu entry"),
    ],
)
def test_what_is_refused_all_the_same(render, options, sentence):
    container, said = render(*options, exclude=["exp_*"], status=1)
    assert container is None
    (line,) = said
    assert sentence in line


def test_a_choice_as_its_registry_has_it(render, registry):
    repository = f"{registry.host}/science/lab"
    container, said = render("image=w_2026_44", "--ask-registry", repository=repository)
    digest = registry.push("science/lab", "w_2026_44", layers=[b"w_2026_44"])
    assert container["image"] == f"{repository}:w_2026_44@{digest}"
    assert said == []
    container, said = render("--ask-registry", repository=repository)
    assert container["image"].startswith(f"{repository}:w_2026_45@sha256:")
    _, said = render("image=w_2026_46", "--ask-registry", repository=repository, status=1)
    assert "'w_2026_46' is not on offer" in said[0]


def test_a_registry_that_does_not_answer(render):
    repository = f"127.0.0.1:{free_port()}/lab"
    container, said = render("image=w_2026_44", "--ask-registry", repository=repository)
    assert container["image"] == f"{repository}:w_2026_44"
    first, second = said
    assert first.startswith(f"jhk8s: the images of {repository} are taken as they are named: ")
    assert second.startswith(f"jhk8s: the digest that {repository}:w_2026_44 is started by is not")


def test_two_renderings_are_equal(render):
    assert render("size=large") == render("size=large")
