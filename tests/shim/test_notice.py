"""What the notice says of a home, and in which order files come into it."""

import pytest
from jhk8s_singleuser.actions import CopySkeleton, WriteFiles, WriteGitCredentials, WriteNotice
from jhk8s_singleuser.facts import Facts
from jhk8s_singleuser.notice import build_notice
from jhk8s_singleuser.plan import build_plan
from jhk8s_singleuser.spec_parser import parse_spec

TODAY = "2026-11-21"
BEGIN = "This folder, /home/ada, is made anew whenever your server starts.\n\n"
END = "Everything else in this folder is gone when the server stops.\n"
ELSEWHERE = (
    "These lead out of your home. What you may change there, and how long it stays, is up to\n"
    "those who run this service:\n\n"
)
FILES = "These come with your server. What you change in them is gone when it stops:\n\n"


def notice(document):
    spec = parse_spec(document)
    return build_notice(spec.home, spec.files)


def actions(document):
    facts = Facts(uid=10001, gid=10001, groups=frozenset({10001, 20101}), today=TODAY)
    return [step.action for step in build_plan(parse_spec(document), {}, facts, ("true",)).steps]


def link(path, target, kind="directory"):
    return {"path": path, "target": target, "kind": kind, "mode": "0700", "essential": False}


def file(path):
    return {"path": path, "text": "x", "mode": "0644", "replace": False}


def test_everything(everything):
    assert notice(everything) == (
        f"{BEGIN}These last, and are here again the next time:\n\n"
        "    work/\n    .gitconfig\n    store/\n\n"
        f"{ELSEWHERE}    data/ -> /data/cs101\n\n"
        f"{FILES}    .bashrc\n\n{END}"
    )


def test_links_elsewhere_alone_save_nothing(linked):
    linked["home"]["links"] = [link("data", "/data/cs101"), link("key", "/etc/key", "file")]
    assert notice(linked) == (
        f"{BEGIN}{ELSEWHERE}    data/ -> /data/cs101\n    key -> /etc/key\n\n"
        f"{END}Save what you want to keep in /mnt/home/ada.\n"
    )


def test_links_elsewhere_without_a_store(ephemeral):
    ephemeral["home"]["links"] = [link("data", "/data/cs101")]
    assert notice(ephemeral) == (
        f"{BEGIN}{ELSEWHERE}    data/ -> /data/cs101\n\n{END}Download what you want to keep.\n"
    )


def test_files_alone(ephemeral):
    ephemeral["files"] = [file(".bashrc"), file(".config/lab/notes")]
    assert notice(ephemeral) == (
        f"{BEGIN}{FILES}    .bashrc\n    .config/lab/notes\n\n"
        f"{END}Download what you want to keep.\n"
    )


def test_a_home_that_lasts_has_no_notice(direct):
    direct["files"] = [file(".bashrc")]
    assert WriteNotice not in map(type, actions(direct))


@pytest.mark.parametrize("name", ["README.txt", "README.txt/x"])
def test_a_file_of_the_operators_in_its_place_is_the_notice(ephemeral, name):
    ephemeral["files"] = [file(name)]
    assert WriteNotice not in map(type, actions(ephemeral))
    ephemeral["files"] = [file("README.txt.old")]
    assert WriteNotice in map(type, actions(ephemeral))


def test_files_come_before_the_skeleton(ephemeral):
    ephemeral["files"] = [file(".bashrc")]
    ephemeral["home"]["skeleton"] = "/etc/skel"
    ephemeral["git_credentials"] = [
        {"host": "git.example.edu", "username": "ada", "variable": "JHK8S_TOKEN"}
    ]
    spec = parse_spec(ephemeral)
    kinds = (WriteFiles, CopySkeleton, WriteGitCredentials)
    found = [action for action in actions(ephemeral) if isinstance(action, kinds)]
    assert [type(action) for action in found] == list(kinds)
    assert found[0] == WriteFiles(home="/home/ada", files=spec.files, today=TODAY)
    assert found[1] == CopySkeleton(source="/etc/skel", home="/home/ada")
