"""Credentials out of Docker's configurations."""

from __future__ import annotations

import base64
import json
import traceback

import pytest

from jhk8s_ext.clients.docker_config import parse_docker_config, read_docker_config
from jhk8s_ext.errors import ConfigError
from jhk8s_ext.menu.image import parse_image

SECRET = "puller-secret"
SETTING = "ImageMenu.docker_config"


def encoded(password):
    return {"auth": base64.b64encode(f"puller:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("auths", "image", "password"),
    [
        ({"h.io": encoded("a")}, "h.io/lab", "a"),
        ({"h.io": encoded("a:b")}, "h.io/lab", "a:b"),
        ({"https://h.io/v2/": encoded("a")}, "h.io/lab", "a"),
        ({"h.io": {"username": "puller", "password": "b"}}, "h.io/lab", "b"),
        ({"https://index.docker.io/v1/": encoded("c")}, "x/lab", "c"),
        ({"docker.io/x": encoded("c")}, "x/lab", "c"),
        ({"h.io": encoded("a"), "h.io/team": encoded("b")}, "h.io/team/lab", "b"),
        ({"h.io/team": encoded("b"), "h.io": encoded("a")}, "h.io/team/lab", "b"),
        ({"h.io/team": encoded("b"), "h.io/team/lab": encoded("a")}, "h.io/team/lab", "a"),
        ({"h.io": encoded("a"), "h.io/team": encoded("b")}, "h.io/teams/lab", "a"),
        ({"h.io/team": encoded("b")}, "h.io/lab", None),
        ({"h.io:5000": encoded("a")}, "h.io/lab", None),
        ({"h.io.evil.example": encoded("a")}, "h.io/lab", None),
        ({"h.io": {}}, "h.io/lab", None),
    ],
)
def test_the_longest_path_that_fits_an_image_counts(auths, image, password):
    config = parse_docker_config(json.dumps({"auths": auths}).encode(), "the test")
    found = config.for_image(parse_image(image))
    assert (found.password if found else None) == password


def test_a_token_may_stand_for_the_password():
    entry = {**encoded(""), "identitytoken": "refresh"}
    config = parse_docker_config(json.dumps({"auths": {"h.io": entry}}).encode(), "the test")
    assert config.for_image(parse_image("h.io/lab")).identity_token == "refresh"


def test_no_file_is_no_credentials():
    assert read_docker_config("", SETTING).for_image(parse_image("h.io/lab")) is None


def test_secrets_are_in_no_representation():
    entry = {**encoded(SECRET), "identitytoken": SECRET}
    config = parse_docker_config(json.dumps({"auths": {"h.io": entry}}).encode(), "the test")
    assert SECRET not in repr(config)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot be read (No such file or directory)"),
        (SECRET, "is no configuration of Docker's"),
        (json.dumps([SECRET]), "is no configuration of Docker's"),
        (json.dumps({"password": SECRET}), "is no configuration of Docker's"),
        (json.dumps({"auths": SECRET}), "is no configuration of Docker's"),
        (json.dumps({"auths": {"h.io": SECRET}}), "is no configuration of Docker's"),
        (json.dumps({"auths": {"h.io": {"auth": SECRET}}}), "is no configuration of Docker's"),
        pytest.param("[" * 100_000, "is no configuration of Docker's", id="deep"),
        (
            json.dumps({"auths": {"h.io": encoded(SECRET)}, "credHelpers": {"g.io": "gcloud"}}),
            "names programs that keep credentials (credHelpers), which are not supported",
        ),
        (
            json.dumps({"credsStore": "pass"}),
            "names programs that keep credentials (credsStore), which are not supported",
        ),
    ],
)
def test_what_is_no_file_of_credentials(tmp_path, text, problem):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_docker_config(str(path), SETTING)
    assert f"{SETTING}: {str(path)!r} {problem}" in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
