from __future__ import annotations

import textwrap

import kubernetes_validate
import pytest
import yaml
from traitlets import TraitError

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.hub.authenticators import LDAPProfileAuthenticator
from jhk8s_ext.hub.spawner import ProfileKubeSpawner
from tests.docs.snippets import LOADERS, PAGES, Snippet, find_snippets, make_parts
from tests.support.pods import notebook_of
from tests.support.profiles import make_profile

MANIFEST = "manifest"

ALL = [snippet for page in PAGES for snippet in find_snippets(page)]


def of(*loaders):
    return [pytest.param(snippet, id=str(snippet)) for snippet in ALL if snippet.loader in loaders]


@pytest.fixture(autouse=True)
def no_kubeconfig(monkeypatch):
    """KubeSpawner's constructor looks for a cluster; nothing here calls one."""
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)


def load(snippet):
    return LOADERS[snippet.loader](snippet.text, str(snippet))


async def check(snippet):
    """Load a snippet, and do with it what needs no directory and no cluster."""
    parts = make_parts(load(snippet))
    parts["authenticator"].check_allow_config()
    if isinstance(parts["authenticator"], LDAPProfileAuthenticator):
        parts["authenticator"].directory_settings()
    spawner = parts["spawner"]
    spawner.user.name = "ada"
    spawner.user.admin = False
    profile = make_profile(home=parts["authenticator"].home_template.format(username="ada"))
    await spawner.run_auth_state_hook({"profile": profile.to_auth_state()})
    await spawner.load_user_options()
    manifest = spawner.api.api_client.sanitize_for_serialization(await spawner.get_pod_manifest())
    begins_as = 0 if spawner.start_as == "root" else profile.uid
    assert notebook_of(manifest)["securityContext"]["runAsUser"] == begins_as
    return manifest


def test_every_block_of_configuration_says_what_loads_it():
    without = [
        str(snippet)
        for snippet in ALL
        if snippet.language in ("yaml", "yml", "python", "py", "{code-block}")
        and snippet.loader not in (*LOADERS, MANIFEST)
    ]
    assert without == []


def test_every_comment_stands_above_a_block():
    for page in PAGES:
        comments = page.read_text(encoding="utf-8").count("<!-- loaded as:")
        assert comments == sum(bool(snippet.loader) for snippet in find_snippets(page)), page


def test_there_are_snippets_for_each_loader():
    assert {snippet.loader for snippet in ALL} >= {*LOADERS, MANIFEST}


@pytest.mark.parametrize("snippet", of(*LOADERS))
async def test_configuration_works(snippet):
    await check(snippet)


@pytest.mark.parametrize("version", ["1.25", "1.37"])
@pytest.mark.parametrize("snippet", of(MANIFEST))
def test_manifest_is_valid(snippet, version):
    for document in yaml.safe_load_all(snippet.text):
        kubernetes_validate.utils.validate(document, version, strict=True)


async def test_the_readme_configures_both_classes_and_a_home():
    [snippet] = [snippet for snippet in ALL if snippet.page == PAGES[0] and snippet.loader]
    config = load(snippet)
    assert config.JupyterHub.authenticator_class == "jhk8s-ldap"
    assert config.JupyterHub.spawner_class == "jhk8s"
    parts = make_parts(config)
    assert parts["hub"].authenticator_class is LDAPProfileAuthenticator
    assert parts["hub"].spawner_class is ProfileKubeSpawner
    assert parts["spawner"].home_volume


def made_up(loader, text):
    text = textwrap.dedent(text)
    return Snippet(page=PAGES[0], line=1, language="", loader=loader, text=text)


@pytest.mark.parametrize(
    ("loader", "text", "error"),
    [
        ("options", "ProfileKubeSpawner: {home_volumes: {}}", ConfigError),
        ("options", "ProfileKubespawner: {}", ConfigError),
        ("options", "ProfileKubeSpawner: {home_layout: odd}", TraitError),
        ("options", "LDAPProfileAuthenticator: {uid_floor: 0}", TraitError),
        ("options", "JupyterHub: {spawner_class: jhk8}", TraitError),
        ("options", "ImageMenu: {image: []}", ConfigError),
        ("options", "ImageMenu: {images: [{name: a, repository: 'h.io/a:1'}]}", TraitError),
        # Known, but of no part that is constructed here.
        ("options", "CryptKeeper: {n_threads: 1}", AssertionError),
        ("chart values", "hub: {config: {LDAPProfileAuthenticator: {uidfloor: 1}}}", ConfigError),
        ("chart values", "hubb: {}", AssertionError),
        ("chart values", "hub: {extraConfig: {a: c.JupyterHub.zzz = 1}}", ConfigError),
        ("jupyterhub_config.py", "c.LDAPProfileAuthenticator.uidfloor = 1", ConfigError),
        ("jupyterhub_config.py", "c.LDAPProfileAuthenticator.uid_floor = 0", TraitError),
    ],
)
async def test_configuration_that_does_not_work_is_found(loader, text, error):
    with pytest.raises(error):
        await check(made_up(loader, text))


async def test_a_template_with_an_unknown_field_is_found():
    text = "ProfileKubeSpawner: {home_volume: {nfs: {server: a, path: '/{user}'}}}"
    with pytest.raises(Exception, match="unknown field"):
        await check(made_up("options", text))
