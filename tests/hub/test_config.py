import subprocess
import sys
from pathlib import Path

import pytest
from traitlets.config import Config

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.hub.config import check_names, load_config_file, parse_config

IMAGE = Path(__file__).parents[2] / "hub-image"


@pytest.fixture
def load(tmp_path):
    path = tmp_path / "config.yaml"

    def load(text, config=None):
        path.write_text(text)
        config = Config() if config is None else config
        load_config_file(config, path)
        return config

    load.path = path
    return load


def test_options_are_set_by_class(load):
    config = load("""
JupyterHub: {concurrent_spawn_limit: 20}
LDAPProfileAuthenticator:
  server_address: ldap.example.edu
  bind_dn_template: ["uid={username},dc=example,dc=edu"]
ProfileKubeSpawner:
  home_volume: {persistentVolumeClaim: {claimName: homes}}
""")
    assert config == {
        "JupyterHub": {"concurrent_spawn_limit": 20},
        "LDAPProfileAuthenticator": {
            "server_address": "ldap.example.edu",
            "bind_dn_template": ["uid={username},dc=example,dc=edu"],
        },
        "ProfileKubeSpawner": {"home_volume": {"persistentVolumeClaim": {"claimName": "homes"}}},
    }


def test_a_later_file_replaces_single_options(load):
    config = load("LDAPProfileAuthenticator: {server_port: 636, tls_kwargs: {a: 1}}")
    load("LDAPProfileAuthenticator: {tls_kwargs: {b: 2}}", config)
    assert config.LDAPProfileAuthenticator == {"server_port": 636, "tls_kwargs": {"b": 2}}


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "{}"])
def test_an_empty_file_sets_nothing(load, text):
    assert load(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        # Every class takes what its subclasses declare, as in traitlets.
        "Authenticator: {uid_floor: 500}",
        "Spawner: {image: lab}",
        "KubeSpawner: {home_layout: linked}",
        # Options and classes of upstream, JupyterHub's own parts among them.
        "ConfigurableHTTPProxy: {should_start: false}",
        "CryptKeeper: {n_threads: 1}",
        "Application: {log_level: 10}",
        "DummyAuthenticator: {password: x}",
    ],
)
def test_whatever_the_hub_can_be_configured_with_is_accepted(load, text):
    load(text)


def test_a_class_without_entry_point_is_known_once_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "site_spawner.py").write_text(
        "from kubespawner import KubeSpawner\n"
        "from traitlets import Int\n"
        "class SiteKubeSpawner(KubeSpawner):\n"
        "    site_option = Int().tag(config=True)\n"
    )
    section = {"SiteKubeSpawner": {"site_option": 1}}
    with pytest.raises(ConfigError, match="no class of that name"):
        check_names(section, "f")
    monkeypatch.syspath_prepend(tmp_path)
    check_names({"JupyterHub": {"spawner_class": "site_spawner.SiteKubeSpawner"}, **section}, "f")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "f: is not a mapping of class names"),
        ("text", "f: is not a mapping of class names"),
        ("JupyterHub:", "f: JupyterHub: is not a mapping of options"),
        ("JupyterHub: [a]", "f: JupyterHub: is not a mapping of options"),
        ("a: {}\nb: {c: 1, c: 2}", "f: key 'c' is there twice, again in line 2"),
        ("a: {}\nb: {}\na: {}", "f: key 'a' is there twice, again in line 3"),
        ("a: {}\nb: ]", "f, line 2: is not YAML"),
        ("a: {? [b] : c}", "f, line 1: is not YAML"),
        ("a: \0", "f: is not YAML"),
        ("a: {b: 2026-02-31}", "f: is not YAML"),
    ],
)
def test_what_is_no_mapping_of_mappings_is_refused(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "f")
    assert str(caught.value) == message


@pytest.mark.parametrize("password", ["*hunter2", "!hunter2", "hunter2: %", "'hunter2"])
def test_a_refusal_does_not_quote_values(password):
    with pytest.raises(ConfigError) as caught:
        parse_config(f"LDAPProfileAuthenticator:\n  lookup_dn_search_password: {password}", "f")
    assert "hunter2" not in str(caught.value)
    # Nor does the traceback that JupyterHub prints.
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "ProfileKubespawner: {}",
            "ProfileKubespawner: this hub has no class of that name; 'ProfileKubeSpawner' is close",
        ),
        ("Zzz: {}", "Zzz: this hub has no class of that name"),
        ("1: {}", "1: is no name of a class or an option"),
        (
            "ProfileKubeSpawner: {home_volumes: {}}",
            "ProfileKubeSpawner.home_volumes: there is no such option; 'home_volume' is close",
        ),
        ("JupyterHub: {zzz: 1}", "JupyterHub.zzz: there is no such option"),
        # A trait, but none to configure.
        ("KubeSpawner: {user: 1}", "KubeSpawner.user: there is no such option"),
        (
            "JupyterHub: {spawner_class: no.such.Spawner}",
            "JupyterHub.spawner_class: 'no.such.Spawner': No module named 'no'",
        ),
    ],
)
def test_unknown_names_are_refused(load, text, message):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value) == f"{load.path}: {message}"


def test_a_refused_file_sets_nothing(load):
    config = Config()
    with pytest.raises(ConfigError):
        load("JupyterHub: {concurrent_spawn_limit: 20}\nZzz: {}", config)
    assert config == {}


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.yaml: cannot be read: .*No such file"):
        load_config_file(Config(), tmp_path / "missing.yaml")
    (tmp_path / "latin1.yaml").write_bytes("a: {b: é}".encode("latin1"))
    with pytest.raises(ConfigError, match=r"latin1\.yaml: cannot be read"):
        load_config_file(Config(), tmp_path / "latin1.yaml")


@pytest.fixture
def run_image_config(tmp_path, monkeypatch):
    for name in ("HUB_SERVICE_HOST", "PROXY_API_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JHK8S_CONFIG", str(tmp_path / "config.yaml"))

    def run(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        config = Config()
        exec((IMAGE / "jupyterhub_config.py").read_text(), {"get_config": lambda: config})
        return config

    return run


def test_the_image_reads_config_over_its_defaults(run_image_config):
    config = run_image_config(config="JupyterHub: {last_activity_interval: 30}")
    assert config.JupyterHub.last_activity_interval == 30
    assert config.JupyterHub.authenticator_class == "jhk8s-ldap"
    assert config.JupyterHub.spawner_class == "jhk8s"


IN_A_PROCESS_OF_ITS_OWN = """
import sys
from traitlets.config import Config
from jhk8s_ext.hub.config import load_config_file
from pathlib import Path
load_config_file(Config(), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("spawner", ["jhk8s", "jhk8s_ext.hub.spawner.ProfileKubeSpawner"])
def test_the_menu_is_known_where_nothing_has_been_imported(tmp_path, spawner):
    path = tmp_path / "config.yaml"
    path.write_text(
        f"JupyterHub: {{spawner_class: {spawner}}}\nImageMenu: {{flags: [debug], fags: []}}"
    )
    command = [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN, path]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    problem = "ImageMenu.fags: there is no such option; 'flags' is close"
    assert outcome.stderr.endswith(f"ConfigError: {path}: {problem}\n")


def test_the_image_reads_secrets_over_config(run_image_config):
    config = run_image_config(
        config="LDAPProfileAuthenticator: {lookup_dn_search_password: from the config}",
        secrets="LDAPProfileAuthenticator: {lookup_dn_search_password: from the secret}",
    )
    assert config.LDAPProfileAuthenticator.lookup_dn_search_password == "from the secret"


def test_the_image_needs_its_config(run_image_config):
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read"):
        run_image_config(secrets="")


def test_the_image_finds_services_by_name(run_image_config):
    config = run_image_config(config="")
    assert config.JupyterHub.hub_connect_url == "http://hub:8081"
    assert config.ConfigurableHTTPProxy.api_url == "http://proxy-api:8001"


def test_the_image_finds_services_without_dns(run_image_config, monkeypatch):
    monkeypatch.setenv("HUB_SERVICE_HOST", "10.96.0.7")
    monkeypatch.setenv("HUB_SERVICE_PORT", "81")
    monkeypatch.setenv("PROXY_API_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("PROXY_API_SERVICE_PORT", "8001")
    config = run_image_config(config="")
    assert config.JupyterHub.hub_connect_url == "http://10.96.0.7:81"
    assert config.ConfigurableHTTPProxy.api_url == "http://[fd00::1]:8001"
