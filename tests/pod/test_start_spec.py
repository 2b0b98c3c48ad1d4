import json

import pytest
from hypothesis import given

from jhk8s_ext.identity import Group
from jhk8s_ext.menu.flags import parse_flags
from jhk8s_ext.menu.image import parse_image
from jhk8s_ext.pod.accounts import gecos
from jhk8s_ext.pod.home import build_home
from jhk8s_ext.pod.home_files import parse_home_files
from jhk8s_ext.pod.home_links import parse_home_links
from jhk8s_ext.pod.label import Label
from jhk8s_ext.pod.start_spec import GitCredential, Hooks, build_start, build_start_spec
from tests.support.pods import (
    DATA,
    HOMES,
    LINKS,
    NFS,
    OWN_CLAIM,
    PVC_NAME,
    make_choice,
    make_home_settings,
    make_start_settings,
)
from tests.support.profiles import make_profile, profiles

ALONE = make_profile(groups=(Group("ada", 10001),))
CONTRACT = {
    "direct": (ALONE, HOMES["pvc-direct"], {}),
    "ephemeral": (ALONE, HOMES["ephemeral"], {}),
    "linked": (
        make_profile(),
        HOMES["nfs-linked"],
        {"start": make_start_settings(working_directory="/home/ada/work", unset=["SUDO_USER"])},
    ),
    "chosen": (ALONE, HOMES["pvc-direct"], {"choice": make_choice()}),
    "everything": (
        make_profile(),
        make_home_settings(
            NFS,
            layout="linked",
            links=parse_home_links(
                LINKS | {"data": {"target": "/data/cs101", "mode": "0750", "essential": True}}
            ),
            wait_seconds=30,
            skeleton="/etc/skel",
            umask="0007",
        ),
        {
            "start": make_start_settings(
                as_root=True,
                sudo=True,
                working_directory="/home/ada/work",
                unset=["SUDO_USER"],
                files=parse_home_files(
                    {".bashrc": {"text": ". ~/work/.bashrc\n", "replace": True}}
                ),
                hooks=Hooks(
                    before=["/usr/local/bin/start-notebook.d"],
                    after=["/usr/local/bin/before-notebook.d"],
                    as_root=False,
                    essential=True,
                ),
            ),
            "extra_gids": [20500],
            "git_credentials": [
                GitCredential(host="git.example.edu", username="ada", variable="JHK8S_GIT_TOKEN_0")
            ],
            "label": Label(
                text="Physics lab (test)",
                stage="test",
                color="#008000",
                text_color="#ffffff",
                style="italic",
            ),
        },
    ),
}


def document_of(profile, home, start=None, **changes):
    return build_start_spec(
        profile,
        build_home(profile, home, PVC_NAME),
        home_settings=home,
        start=start or make_start_settings(),
        **changes,
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
def test_document_is_ascii_on_one_line(profile):
    document = document_of(profile, make_home_settings(OWN_CLAIM, subdirectory=""))
    assert document.isascii()
    assert document.isprintable()
    assert json.loads(document)["user"] == {
        "name": profile.username,
        "uid": profile.uid,
        "gid": profile.gid,
        "shell": profile.shell,
        "full_name": gecos(profile.full_name),
        "sudo": False,
        "groups": [{"name": group.name, "gid": group.gid} for group in profile.groups],
        "extra_gids": [],
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
