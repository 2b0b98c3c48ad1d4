from __future__ import annotations

import textwrap

import pytest

from jhk8s_ext.cli.configuration import build_authenticator, load_hub
from jhk8s_ext.errors import ConfigError


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="jupyterhub_config.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write_file


OIDC = """
    c.JupyterHub.authenticator_class = "{cls}"
    c.Authenticator.enable_auth_state = True
    c.GenericProfileAuthenticator.allow_all = True
    c.GenericProfileAuthenticator.client_id = "hub"
    c.GenericProfileAuthenticator.client_secret = "made-up"
    c.GenericProfileAuthenticator.oauth_callback_url = "https://hub.example.edu/oauth_callback"
    c.GenericProfileAuthenticator.authorize_url = "https://id.example.edu/authorize"
    c.GenericProfileAuthenticator.token_url = "https://id.example.edu/token"
    c.GenericProfileAuthenticator.userdata_url = "https://id.example.edu/userinfo"
"""


@pytest.mark.parametrize("cls", ["jhk8s-oidc", "jhk8s_ext.hub.oidc.GenericProfileAuthenticator"])
@pytest.mark.parametrize("start", ["", "    c = get_config()"])
def test_python_is_loaded_as_jupyterhub_does(write, cls, start):
    path = write(start + OIDC.format(cls=cls) + "    load_subconfig('more.py')\n")
    path.with_name("more.py").write_text("c.GenericProfileAuthenticator.uid_floor = 2000\n")
    authenticator = build_authenticator(load_hub(path))
    assert type(authenticator).__name__ == "GenericProfileAuthenticator"
    assert authenticator.uid_floor == 2000
    assert authenticator.enable_auth_state


def test_yaml_is_loaded_as_the_hub_image_does(write):
    path = write("LDAPProfileAuthenticator: {uid_floor: 2000}", "config.yaml")
    write("JupyterHub: {db_url: 'sqlite:////srv/hub.sqlite'}", "secrets.yaml")
    hub = load_hub(path)
    assert hub.db_url == "sqlite:////srv/hub.sqlite"
    assert hub.authenticator_class.__name__ == "LDAPProfileAuthenticator"
    assert hub.spawner_class.__name__ == "ProfileKubeSpawner"


def test_the_environment_names_the_file_of_the_hub_image(write, monkeypatch):
    path = write("JupyterHub: {db_url: 'sqlite:////srv/hub.sqlite'}", "elsewhere.yaml")
    monkeypatch.setenv("JHK8S_CONFIG", str(path))
    assert load_hub(None).db_url == "sqlite:////srv/hub.sqlite"
    monkeypatch.setenv("JHK8S_CONFIG", str(path.with_name("none.yaml")))
    with pytest.raises(ConfigError, match="there is no such file; name the hub's with --config"):
        load_hub(None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("c.JupyterHub.db_url = 1", "db_url"),
        ("syntax error", "cannot be loaded: SyntaxError"),
        ("import no_such_module", "cannot be loaded: ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit"),
        ("c.JupyterHub.authenticator_class = 'no-such'", "no-such"),
        ("c.JupyterHub.authenticator_class = 'dummy'", "makes no profiles"),
        (OIDC.format(cls="jhk8s-oidc") + "    c.Authenticator.enable_auth_state = False", "auth_s"),
        (OIDC.format(cls="jhk8s-oidc") + "    c.Authenticator.uid_floor = 'x'", "uid_floor"),
        (OIDC.format(cls="jhk8s-oidc") + "    c.Authenticator.uid_range = [9, 1]", "uid_range"),
    ],
)
def test_a_configuration_that_cannot_work_is_one_sentence(write, text, problem):
    with pytest.raises(ConfigError, match=problem):
        build_authenticator(load_hub(write(text)))


def test_a_key_that_is_none_is_told_without_it(write, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_CRYPT_KEY", "not-a-key")
    path = write(OIDC.format(cls="jhk8s-oidc"))
    with pytest.raises(ConfigError, match="JUPYTERHUB_CRYPT_KEY") as caught:
        build_authenticator(load_hub(path))
    assert "not-a-key" not in str(caught.value)


def test_a_folder_is_no_configuration(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        load_hub(tmp_path)
