import base64

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.pod.secrets import SECRET_VARIABLES, ServerSecret, split_secrets

TOKEN = "0123456789abcdef"
ENVIRONMENT = [
    {"name": "A", "value": "1"},
    {"name": "JUPYTERHUB_API_TOKEN", "value": TOKEN},
    {"name": "JPY_API_TOKEN", "value": TOKEN},
    {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    {"name": "B", "value": "$(A)"},
]


def test_tokens_become_references_and_the_order_is_kept():
    public, secret = split_secrets(ENVIRONMENT, "jupyter-ada.jhk8s", {})

    def reference(key):
        return {"secretKeyRef": {"name": "jupyter-ada.jhk8s", "key": key}}

    assert public == [
        ENVIRONMENT[0],
        {"name": "JUPYTERHUB_API_TOKEN", "valueFrom": reference("JUPYTERHUB_API_TOKEN")},
        {"name": "JPY_API_TOKEN", "valueFrom": reference("JPY_API_TOKEN")},
        ENVIRONMENT[3],
        ENVIRONMENT[4],
    ]
    assert secret.name == "jupyter-ada.jhk8s"
    assert secret.values == {"JUPYTERHUB_API_TOKEN": TOKEN, "JPY_API_TOKEN": TOKEN}


@pytest.mark.parametrize("name", sorted(SECRET_VARIABLES))
def test_token_that_the_operator_reads_from_elsewhere_stays_there(name):
    entry = {"name": name, "valueFrom": {"secretKeyRef": {"name": "own", "key": "token"}}}
    public, secret = split_secrets([entry], "s", {})
    assert public == [entry]
    assert secret.values == {}


def test_no_environment_needs_no_secret():
    public, secret = split_secrets([], "s", {})
    assert public == []
    assert secret.values == {}


def test_value_is_in_no_representation():
    secret = ServerSecret(name="s", values={"JUPYTERHUB_API_TOKEN": TOKEN})
    assert TOKEN not in repr(secret)
    assert TOKEN not in str(secret)
    assert TOKEN not in f"{secret}"


@given(st.text())
def test_secret_object_holds_the_value(value):
    manifest = ServerSecret(name="s", values={"K": value}).to_manifest({"app": "x"})
    assert base64.b64decode(manifest.pop("data")["K"]).decode() == value
    assert manifest == {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": "s", "labels": {"app": "x"}},
    }


def test_secret_object_is_valid():
    manifest = ServerSecret(name="s", values={"K": TOKEN}).to_manifest({"app": "x"})
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_what_is_secret_from_the_beginning_takes_the_place_of_a_literal():
    environment = [{"name": "A", "value": "1"}, {"name": "TOKEN", "value": "seen"}]
    public, secret = split_secrets(environment, "s", {"TOKEN": "hidden"})
    assert public == [
        {"name": "A", "value": "1"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "TOKEN"}}},
    ]
    assert secret.values == {"TOKEN": "hidden"}
    assert "hidden" not in repr(secret)
