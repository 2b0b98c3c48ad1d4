import json

import pytest
from hypothesis import given

from jhk8s_ext.identity import Group
from jhk8s_ext.menu.flags import parse_flags
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.pod.home import build_home
from jhk8s_ext.pod.start_spec import build_start, build_start_spec
from tests.support.pods import DATA, HOMES, OWN_CLAIM, PVC_NAME, make_choice, make_home_settings
from tests.support.profiles import make_profile, profiles

ALONE = make_profile(groups=(Group("ada", 10001),))
CONTRACT = {
    "direct": (ALONE, HOMES["pvc-direct"], {}),
    "ephemeral": (ALONE, HOMES["ephemeral"], {}),
    "linked": (
        make_profile(),
        HOMES["nfs-linked"],
        {"working_directory": "/home/ada/work", "unset": ["SUDO_USER"]},
    ),
    "chosen": (ALONE, HOMES["pvc-direct"], {"choice": make_choice()}),
}


def document_of(profile, home, working_directory="", unset=(), choice=None):
    return build_start_spec(
        profile,
        build_home(profile, home, PVC_NAME),
        working_directory=working_directory,
        unset=unset,
        choice=choice,
    )


def chosen(**changes):
    document = json.loads(document_of(ALONE, HOMES["ephemeral"], choice=make_choice(**changes)))
    return {key: document[key] for key in ("image", "size", "move_aside")}


def test_every_document_of_the_contract_is_produced():
    assert {path.stem for path in (DATA / "start_spec").glob("*.json")} == set(CONTRACT)


@pytest.mark.parametrize("name", CONTRACT)
def test_document_is_the_contract(name):
    profile, home, changes = CONTRACT[name]
    expected = json.loads((DATA / "start_spec" / f"{name}.json").read_text())
    assert json.loads(document_of(profile, home, **changes)) == expected


@given(profiles())
def test_document_is_ascii_on_one_line_and_holds_no_free_text(profile):
    home = build_home(profile, make_home_settings(OWN_CLAIM, subdirectory=""), PVC_NAME)
    document = build_start_spec(profile, home, working_directory="", unset=())
    assert document.isascii()
    assert document.isprintable()
    assert json.loads(document)["user"] == {
        "name": profile.username,
        "uid": profile.uid,
        "gid": profile.gid,
        "shell": profile.shell,
        "groups": [{"name": group.name, "gid": group.gid} for group in profile.groups],
    }


def test_without_digest_size_and_flags_the_document_says_so():
    image = parse_image("jupyter/base-notebook:latest")
    assert chosen(image=image, title="Base", size=None, flags=()) == {
        "image": {
            "reference": "docker.io/jupyter/base-notebook:latest",
            "digest": "",
            "title": "Base",
        },
        "size": None,
        "move_aside": [],
    }


def test_what_two_flags_move_aside_is_moved_once_in_their_order():
    flags = parse_flags(
        [{"name": "cache", "move_aside": [".cache", ".local"]}, "clear_local", "reset_workspaces"]
    )
    assert chosen(flags=flags)["move_aside"] == [".cache", ".local", ".jupyter/lab/workspaces"]


def test_text_of_the_menu_stays_text():
    title = 'Ünïcode {username} $(HOME) "quoted"\n'
    assert chosen(title=title)["image"]["title"] == title


def test_document_is_an_annotation_that_appears_as_a_file():
    fragment = build_start("{}")
    assert fragment.annotations == {"jhk8s-ext/start": "{}"}
    (volume,) = fragment.volumes
    assert volume["downwardAPI"]["items"] == [
        {
            "path": "start.json",
            "fieldRef": {"fieldPath": "metadata.annotations['jhk8s-ext/start']"},
        }
    ]
    assert fragment.mounts == [
        {"name": volume["name"], "mountPath": "/etc/jhk8s", "readOnly": True}
    ]
