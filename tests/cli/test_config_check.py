from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]

LDAP = {
    "allow_all": True,
    "server_address": "ldap.example.edu",
    "bind_dn_template": ["uid={username},ou=people,dc=example,dc=edu"],
}
SPAWNER = {
    "image": "registry.example.edu/lab:1",
    "home_volume": {"persistentVolumeClaim": {"claimName": "homes"}},
}


MEMORY = (
    "ProfileKubeSpawner.mem_limit: 3 elephants is not a valid memory specification. Must be an int "
    "or a string with suffix K, M, G, T"
)


@pytest.fixture
def check(jhk8s, write_config):
    """Check options by class; return the sentences, less the name of the command and the file."""

    def run(*, ldap=None, spawner=None, **sections):
        file = write_config(
            {
                "LDAPProfileAuthenticator": LDAP | (ldap or {}),
                "ProfileKubeSpawner": SPAWNER | (spawner or {}),
                **sections,
            }
        )
        outcome = jhk8s("config", "check", file)
        lines = [
            line.removeprefix("jhk8s: ").removeprefix(f"{file}: ")
            for line in outcome.err.splitlines()
        ]
        assert outcome.status == (2 if lines else 0)
        return lines

    return run


def test_a_configuration_that_can_work_is_told(jhk8s, write_config):
    file = write_config({"LDAPProfileAuthenticator": LDAP, "ProfileKubeSpawner": SPAWNER})
    outcome = jhk8s("config", "check", file)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{file}: ")
    assert outcome.out.endswith(" options, all of which can work\n")


def test_everything_is_told_at_once(check):
    lines = check(
        ldap={"server_address": 5, "uid_floor": 0, "allow_al": True},
        spawner={"home_layout": "odd", "home_links": {"../x": "y"}, "mem_limit": "3 elephants"},
        Nope={},
    )
    assert lines == [
        "LDAPProfileAuthenticator.allow_al: there is no such option; 'allow_all' is close",
        "Nope: this hub has no class of that name",
        "LDAPProfileAuthenticator.server_address: expected a unicode string, not 5",
        "LDAPProfileAuthenticator.uid_floor: expected an int of at least 1, not 0",
        "ProfileKubeSpawner.home_layout: expected any of ['direct', 'linked'], not 'odd'",
        "ProfileKubeSpawner.home_links['../x']: '../x' is not a path inside the home",
        MEMORY,
        "7 errors",
    ]


@pytest.mark.parametrize(
    ("section", "options"),
    [
        ("ldap", {"lookup_dn_search_password": ["hunter2"]}),
        ("ldap", {"tls_kwargs": "hunter2"}),
        ("spawner", {"environment": {"DB": ["hunter2"]}}),
        ("spawner", {"environment": "hunter2"}),
        ("spawner", {"unset_environment": ["hunter2", 5]}),
        ("spawner", {"home_links": {"token": {"target": "hunter2/../.."}}}),
        (
            "spawner",
            {
                "profile_list": [
                    {"display_name": "x", "kubespawner_override": {"environment": ["hunter2"]}}
                ]
            },
        ),
    ],
)
def test_what_may_be_secret_is_not_quoted(check, section, options):
    lines = check(**{section: options})
    assert lines[-1] == "1 error"
    assert "hunter2" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("spawner", "sentence"),
    [
        (
            {"home_provisioner": {"image": "make-home:1", "gid": -1}},
            "home_provisioner.gid: -1 is not a number such as 20500",
        ),
        (
            {"git_credentials": [{"host": "https://ada:hunter2@example.edu"}]},
            "git_credentials[0].host: this value cannot be used",
        ),
        (
            {"home_removal": "purge"},
            "home_removal: expected any of ['keep', 'delete', 'archive'] or None, not 'purge'",
        ),
    ],
)
def test_the_place_inside_an_option_is_told(check, spawner, sentence):
    assert check(spawner=spawner) == [f"ProfileKubeSpawner.{sentence}", "1 error"]


def test_options_are_checked_against_each_other_to_the_end(check):
    lines = check(
        ldap={"bind_dn_template": ["uid={nobody}"], "home_template": "home", "allow_all": False}
    )
    assert [line.split(":")[0] for line in lines] == [
        "LDAPProfileAuthenticator.home_template",
        "LDAPProfileAuthenticator.bind_dn_template",
        "LDAPProfileAuthenticator.allow_all",
        "3 errors",
    ]


def test_a_pod_is_built_as_for_a_user(check):
    lines = check(spawner={"home_volume": {"nfs": {"server": "a", "path": "/{user}"}}})
    assert lines[0].startswith("ProfileKubeSpawner.home_volume: unknown field {user}")
    lines = check(spawner={"volume_mounts": [{"name": "x", "mountPath": "/etc/passwd"}]})
    assert "/etc/passwd" in lines[0]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"slug": "a"}, ".display_name: is missing, or no text"),
        (
            {"display_name": "A", "kubespawner_overide": {}},
            "overide: there is no such key; 'kubesp",
        ),
        (
            {"display_name": "A", "kubespawner_override": {"mem_limt": "1G"}},
            ".kubespawner_override.mem_limt: there is no such option; 'mem_limit' is close",
        ),
        (
            {"display_name": "A", "kubespawner_override": {"mem_limit": "x"}},
            ".kubespawner_override.mem_limit: x is not a valid memory specification",
        ),
        ({"display_name": "A", "profile_options": {"i": {}}}, ".profile_options.i: offers nothing"),
        (
            {
                "display_name": "A",
                "profile_options": {
                    "i": {"unlisted_choice": {"enabled": True, "validation_regex": "("}}
                },
            },
            ".unlisted_choice.validation_regex: is no regular expression",
        ),
        (
            {
                "display_name": "A",
                "profile_options": {
                    "i": {"choices": {"c": {"kubespawner_override": {"cpu_limit": "many"}}}}
                },
            },
            ".profile_options.i.choices.c.kubespawner_override.cpu_limit: ",
        ),
    ],
)
def test_every_part_of_the_menu_is_parsed(check, entry, sentence):
    lines = check(spawner={"profile_list": [{"display_name": "Good"}, entry]})
    assert lines[0].startswith("ProfileKubeSpawner.profile_list[1]")
    assert sentence in lines[0]
    assert lines[1:] == ["1 error"]


def test_a_menu_may_be_a_mapping(check):
    lines = check(spawner={"profile_list": {"a": {"display_name": "A"}, "b": "B"}})
    assert lines == ["ProfileKubeSpawner.profile_list['b']: is not a mapping", "1 error"]


def test_a_menu_entry_whose_pod_cannot_be_is_found(check):
    mounts = [{"name": "x", "mountPath": "/etc/passwd"}]
    entry = {"display_name": "B", "slug": "b", "kubespawner_override": {"volume_mounts": mounts}}
    lines = check(spawner={"profile_list": [{"display_name": "A"}, entry]})
    assert "/etc/passwd" in lines[0]
    assert lines[1:] == ["1 error"]


def test_no_hook_runs(jhk8s, tmp_path):
    file = tmp_path / "jupyterhub_config.py"
    file.write_text(
        textwrap.dedent(
            f"""
            c.JupyterHub.authenticator_class = "jhk8s-ldap"
            c.JupyterHub.spawner_class = "jhk8s"
            c.Authenticator.enable_auth_state = True
            c.LDAPProfileAuthenticator.update({LDAP!r})
            c.ProfileKubeSpawner.update({SPAWNER!r})
            def hook(*_):
                raise RuntimeError("it ran")
            c.Spawner.pre_spawn_hook = c.Spawner.auth_state_hook = hook
            c.KubeSpawner.modify_pod_hook = c.KubeSpawner.profile_list = hook
            """
        )
    )
    outcome = jhk8s("config", "check", file)
    assert (outcome.status, outcome.err) == (0, "")


def test_the_examples_can_work(jhk8s, write_config):
    assert jhk8s("config", "check", PROJECT / "deploy/z2jh/values.yaml").err == ""
    document = yaml.safe_load((PROJECT / "deploy/kubernetes/30-config.yaml").read_text())
    file = write_config(yaml.safe_load(document["data"]["config.yaml"]))
    assert jhk8s("config", "check", file).err == ""


def test_a_values_file_is_told_by_its_own_paths(jhk8s, write_config):
    values = yaml.safe_load((PROJECT / "deploy/z2jh/values.yaml").read_text())
    values["singleuser"]["memory"] = {"limit": "much", "gurantee": "1G"}
    values["hub"]["config"]["ProfileKubeSpawner"]["home_layout"] = "odd"
    values["hub"]["concurrentSpawnLimit"] = "many"
    values["singleusr"] = {}
    file = write_config(values, "values.yaml")
    outcome = jhk8s("config", "check", file)
    assert outcome.status == 2
    problems = [line.removeprefix(f"jhk8s: {file}: ") for line in outcome.err.splitlines()]
    assert problems[:2] == [
        "singleuser.memory.gurantee: the chart has no such value; 'guarantee' is close",
        "singleusr: the chart has no such value; 'singleuser' is close",
    ]
    assert [line.split(":")[0] for line in sorted(problems[2:-1])] == [
        "hub.concurrentSpawnLimit",
        "hub.config.ProfileKubeSpawner.home_layout",
        "singleuser.memory.limit",
    ]


def test_values_of_several_files_are_merged(jhk8s, write_config):
    values = PROJECT / "deploy/z2jh/values.yaml"
    more = {"hub": {"config": {"LDAPProfileAuthenticator": {"lookup_dn_search_password": [1]}}}}
    outcome = jhk8s("config", "check", values, write_config(more, "secrets.yaml"))
    assert "hub.config.LDAPProfileAuthenticator.lookup_dn_search_password: expected" in outcome.err
    outcome = jhk8s("config", "check", values, write_config({"JupyterHub": {}}))
    assert outcome.err == "jhk8s: --config: only values of the chart may be in several files\n"


def test_python_of_values_that_cannot_be_run_is_named(jhk8s, write_config):
    file = write_config({"hub": {"extraConfig": {"a": "c.JupyterHub.x = 1 +"}}}, "values.yaml")
    outcome = jhk8s("config", "check", file)
    assert outcome.status == 2
    assert outcome.err.startswith(f"jhk8s: {file}: hub.extraConfig['a']: cannot be run: SyntaxErr")


def test_what_cannot_be_followed_is_said(jhk8s, write_config):
    values = yaml.safe_load((PROJECT / "deploy/z2jh/values.yaml").read_text())
    values["hub"]["existingSecret"] = "elsewhere"
    outcome = jhk8s("config", "check", write_config(values, "values.yaml"))
    assert outcome.status == 0
    assert "hub.existingSecret is left out: the Secret is in the cluster" in outcome.err


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"hub": "text"}, "hub"),
        ({"hub": {"config": ["x"]}}, "hub.config"),
        ({"hub": {"loadRoles": ["x"]}}, "hub.loadRoles"),
        ({"hub": {"loadRoles": {"x": "y"}}}, "hub.loadRoles.x"),
        ({"hub": {"extraFiles": {"x": "y"}}}, "hub.extraFiles.x"),
        ({"singleuser": {"extraFiles": {"x": 5}}}, "singleuser.extraFiles.x"),
        ({"singleuser": {"storage": {"dynamic": "x"}}}, "singleuser.storage.dynamic"),
    ],
)
@pytest.mark.parametrize("command", [("config", "check"), ("render", "ada", "--uid=5", "--config")])
def test_a_value_that_has_to_be_a_mapping_is_named(jhk8s, write_config, values, path, command):
    file = write_config(values, "values.yaml")
    outcome = jhk8s(*command, file)
    assert outcome.status == 2
    assert outcome.err == f"jhk8s: {file}: {path}: is not a mapping\n"


@pytest.mark.parametrize("password", [87654321, ["87654321"]])
@pytest.mark.parametrize(
    "command",
    [
        ("config", "check"),
        ("render", "ada", "--uid=10001", "--config"),
        ("profile", "ada", "--config"),
        ("doctor", "--json", "--kubeconfig=/nowhere", "--timeout=1", "--config"),
    ],
)
def test_a_password_of_a_wrong_type_is_never_shown(jhk8s, write_config, password, command):
    ldap = LDAP | {
        "server_address": "127.0.0.1",
        "server_port": 1,
        "lookup_dn_search_password": password,
    }
    file = write_config({"LDAPProfileAuthenticator": ldap, "ProfileKubeSpawner": SPAWNER})
    outcome = jhk8s(*command, file)
    assert outcome.status == 2
    assert "lookup_dn_search_password" in outcome.out + outcome.err
    assert "87654321" not in outcome.out + outcome.err


@pytest.mark.parametrize(
    "document",
    [
        {1: {"a": 1}},
        {"JupyterHub": {1: "a"}},
        {"hub": {"config": {1: {"a": 1}}}},
        {"hub": {"config": {"JupyterHub": {1: "a"}}}},
    ],
)
def test_a_name_that_is_no_text_is_told(jhk8s, write_config, document):
    outcome = jhk8s("config", "check", write_config(document))
    assert outcome.status == 2
    assert "1: is no name of a class or an option" in outcome.err


def test_brackets_without_end_are_no_yaml(jhk8s, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("a: " + "[" * 20_000 + "]" * 20_000)
    outcome = jhk8s("config", "check", file)
    assert (outcome.status, outcome.err) == (2, f"jhk8s: {file}: is not YAML\n")


def test_only_bounds_that_bind_are_told(check):
    problem = "ProfileKubeSpawner.cpu_limit: expected a float, not a text"
    assert check(spawner={"cpu_limit": "much"}) == [problem, "1 error"]
