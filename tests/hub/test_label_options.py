"""The label: from its options to each server's start spec, and to the pages of a hub."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request

import pytest
import yaml
from jupyterhub.app import JupyterHub
from traitlets import TraitError
from traitlets.config import Config

from jhk8s_ext.cli.demo.services import build_kubeconfig
from jhk8s_ext.hub.label_options import LabelOptions, show_label
from jhk8s_ext.hub.spawner import ProfileKubeSpawner
from tests.support import spawners
from tests.support.hub_process import HubProcess
from tests.support.pods import DIGEST
from tests.support.slapd import free_port
from tests.support.spawners import begin_start, end_server

OVERRIDE = {"label": "CS 101 exam", "stage": "exam", "stage_styles": {"exam": {"color": "#800"}}}
EXAM = {
    "text": "CS 101 exam",
    "stage": "exam",
    "color": "#880000",
    "text_color": "#ffffff",
    "style": "",
}
LAB = {
    "text": "Physics lab (dev)",
    "stage": "dev",
    "color": "#ffa500",
    "text_color": "#000000",
    "style": "bold",
}
IMAGE = f"127.0.0.1:9/lab@{DIGEST}"
MENUS = {
    "ImageMenu": {
        "menu": {
            "images": [
                {"name": "plain", "image": IMAGE},
                {"name": "exam", "image": IMAGE, "kubespawner_override": OVERRIDE},
            ],
            "cache_file": "",
        }
    },
    "profile_list": {
        "profile_list": [
            {"display_name": "Plain", "slug": "plain"},
            {"display_name": "Exam", "slug": "exam", "kubespawner_override": OVERRIDE},
        ]
    },
}


@pytest.fixture
async def make_spawner(monkeypatch):
    # KubeSpawner's constructor looks for a cluster; nothing here calls one.
    monkeypatch.setattr("kubespawner.spawner.load_config", lambda **_: None)
    made = []

    def make(**options):
        made.append(spawners.make_spawner(**options))
        return made[-1]

    yield make
    for spawner in made:
        if spawner.menu.is_used:
            await spawner.menu.discovery().stop()


async def label_of(spawner, user_options):
    """Return the label in the start spec of a start."""
    await begin_start(spawner, user_options)
    pod = await spawner.get_pod_manifest()
    return json.loads(pod.metadata.annotations["jhk8s-ext/start"])["label"]


async def test_the_start_spec_holds_the_label(make_spawner):
    assert await label_of(make_spawner(label="Physics lab", stage="dev"), {}) == LAB


async def test_without_a_label_the_start_spec_has_none(make_spawner):
    assert await label_of(make_spawner(stage="dev"), {}) is None


async def test_braces_and_markup_are_no_template(make_spawner):
    text = "{username} {{ user }} $(HOME) <b>"
    assert (await label_of(make_spawner(label=text), {}))["text"] == text


@pytest.mark.parametrize("kind", MENUS)
async def test_a_menu_entry_has_its_own_label_for_its_start_alone(make_spawner, kind):
    spawner = make_spawner(label="Physics lab", stage="dev", **MENUS[kind])
    for choice, label in (("plain", LAB), ("exam", EXAM), ("plain", LAB)):
        assert await label_of(spawner, {"profile": choice}) == label
        end_server(spawner)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "two\nlines"}, r"ProfileKubeSpawner\.label: 'two\\nlines' is not one line of p"),
        ({"stage": "\0"}, r"ProfileKubeSpawner\.stage: '\\x00' is not one line of plain text"),
        ({"label": 5}, "label"),
        ({"stage_styles": {"dev": "red"}}, r"ProfileKubeSpawner\.stage_styles\['dev'\]: expected"),
        ({"stage_styles": {"dev": {"color": "rad"}}}, r"stage_styles\['dev'\]\.color: 'rad' is n"),
    ],
)
def test_what_cannot_be_is_refused_by_name(options, message):
    with pytest.raises(TraitError, match=message):
        LabelOptions(**options)


class DerivedSpawner(ProfileKubeSpawner):
    """As an operator's own would be."""


def shown(config, spawner_class=ProfileKubeSpawner, **options):
    app = JupyterHub(config=config, spawner_class=spawner_class, **options)
    show_label(app)
    return app


def test_the_hub_reads_what_its_spawners_would():
    config = Config()
    config.KubeSpawner.label = "Physics lab"
    config.ProfileKubeSpawner.stage = "test"
    config.ProfileKubeSpawner.stage_styles.update({"dev": {"color": "red"}})
    config.DerivedSpawner.stage = "dev"
    label = shown(config, DerivedSpawner).template_vars["jhk8s_label"]
    assert (label.text, label.color) == ("Physics lab (dev)", "#ff0000")
    label = shown(config).template_vars["jhk8s_label"]
    assert (label.text, label.color) == ("Physics lab (test)", "#008000")


def test_the_hub_reads_its_command_line():
    app = JupyterHub()
    app.parse_command_line(["--ProfileKubeSpawner.label=7"])
    app.spawner_class = ProfileKubeSpawner
    show_label(app)
    assert app.template_vars["jhk8s_label"].text == "7"


def test_templates_and_variables_of_the_operators_come_first():
    paths = ["/srv/templates"]
    app = shown(Config(), template_paths=paths, template_vars={"announcement": "Hello"})
    assert app.template_paths[0] == "/srv/templates"
    assert app.template_paths[1].endswith("jhk8s_ext/hub/templates")
    assert app.template_vars == {"announcement": "Hello", "jhk8s_label": None}
    assert paths == ["/srv/templates"]
    upstreams = f"{app.data_files_path}/templates"
    for own in ([], [upstreams], ["/srv/templates", upstreams]):
        found = shown(Config(), template_paths=own).template_paths
        without_ours = [path for path in found if "jhk8s_ext" not in path]
        assert without_ours == own
        if upstreams in own:
            assert "jhk8s_ext" in found[found.index(upstreams) - 1]


def test_a_hub_with_another_spawner_is_left_alone():
    app = JupyterHub(spawner_class="simple")
    before = app.template_paths
    show_label(app)
    assert (app.template_paths, app.template_vars) == (before, {})


@pytest.fixture
def start_hub(tmp_path):
    """Return a function that starts a hub to look at the pages that need no login."""
    running = []

    def start(sections, **spawner):
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(build_kubeconfig("http://127.0.0.1:1", "none")))
        hub = HubProcess(
            tmp_path,
            kubeconfig=str(kubeconfig),
            pod_facing_ip="127.0.0.1",
            options={
                # Nobody logs in here, and so nobody is missed.
                "LDAPProfileAuthenticator": {
                    "allow_all": True,
                    "server_address": "127.0.0.1",
                    "server_port": free_port(),
                    "bind_dn_template": ["uid={username},dc=example"],
                },
                "ProfileKubeSpawner": spawner,
                **sections,
            },
        )
        running.append(hub)
        return hub

    yield start
    for hub in running:
        hub.stop(at_once=True)


def read(hub, path):
    """Return a page, also that of an error."""
    try:
        with urllib.request.urlopen(f"{hub.url}{path}") as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def test_every_page_of_a_hub_shows_the_label_as_text(start_hub):
    hub = start_hub({}, label="""<b>"Physics" & 'lab'</b> {{ 1 + 1 }}""", stage="dev")
    # The page of an error is rendered by another environment than the rest.
    for page in (read(hub, "/hub/login"), read(hub, "/hub/no-such-page")):
        (found,) = re.findall(r'<span id="jhk8s-label".*?>([^<]*)</span>', page, re.DOTALL)
        assert found == (
            "&lt;b&gt;&#34;Physics&#34; &amp; &#39;lab&#39;&lt;/b&gt; {{ 1 + 1 }} (dev)"
        )
        assert "background-color: #ffa500;" in page
        assert "font-weight: bold;" in page
        assert 'id="jupyterhub-logo"' in page


def test_a_page_of_the_operators_takes_precedence_and_may_show_the_label(start_hub, tmp_path):
    templates = tmp_path / "templates"
    templates.mkdir()
    own = '{% extends "templates/page.html" %}{% block logo %}Our logo'
    end = "{% endblock %}"
    page = templates / "page.html"
    page.write_text(own + end)
    hub = start_hub({"JupyterHub": {"template_paths": [str(templates)]}}, label="Physics lab")
    found = read(hub, "/hub/login")
    assert "Our logo" in found
    assert "Physics lab" not in found
    page.write_text(own + '{% include "jhk8s_label.html" %}' + end)
    found = read(hub, "/hub/login")
    assert re.search(r'Our logo.*<span id="jhk8s-label".*?>Physics lab</span>', found, re.DOTALL)


def test_without_a_label_the_pages_are_jupyterhubs(start_hub):
    hub = start_hub({}, stage="dev")
    page = read(hub, "/hub/login")
    assert "jhk8s-label" not in page
    assert 'id="jupyterhub-logo"' in page
