"""The plan is a pure function of the spec, the environment, the facts and the arguments."""

import pytest
from jhk8s_singleuser.actions import (
    AllowSudo,
    BecomeUser,
    ChangeDirectory,
    MakeDirectories,
    MakeHome,
    MakeLink,
    MoveAside,
    RunHooks,
    SetUmask,
    TryWriting,
    UseDirectory,
    WriteAccounts,
    WriteNotice,
)
from jhk8s_singleuser.exits import (
    BAD_HOME,
    BAD_STORE,
    HOME_NOT_PERMITTED,
    WRONG_IDENTITY,
    StartError,
)
from jhk8s_singleuser.facts import Facts
from jhk8s_singleuser.notice import build_notice
from jhk8s_singleuser.plan import build_plan
from jhk8s_singleuser.spec_parser import parse_spec

TODAY = "2026-11-21"


def facts(uid=10001, gid=10001, groups=(10001, 20101)):
    return Facts(uid=uid, gid=gid, groups=frozenset(groups), today=TODAY)


def plan(document, environ=None, arguments=("true",), **found):
    return build_plan(parse_spec(document), environ or {}, facts(**found), arguments)


def steps(document):
    return [(step.action, step.exit_code) for step in plan(document).steps]


def test_linked_steps(linked):
    def link(name, target):
        return MakeLink(home="/home/ada", name=name, target=target, today=TODAY)

    notice = build_notice(parse_spec(linked).home)
    assert steps(linked) == [
        (MakeHome(path="/home/ada", uid=10001), BAD_HOME),
        (UseDirectory(path="/mnt/home/ada", wait_seconds=0), BAD_STORE),
        (TryWriting(path="/mnt/home/ada"), None),
        (MakeDirectories(path="/mnt/home/ada/work", mode=0o700), None),
        (link("work", "/mnt/home/ada/work"), None),
        (MakeDirectories(path="/mnt/home/ada/config", mode=0o700), None),
        (link(".gitconfig", "/mnt/home/ada/config/gitconfig"), None),
        (link("store", "/mnt/home/ada"), None),
        (WriteNotice(path="/home/ada/README.txt", text=notice), None),
        (ChangeDirectory(path="/home/ada"), BAD_HOME),
        (ChangeDirectory(path="/home/ada/work"), None),
    ]


def test_direct_steps(direct):
    assert steps(direct) == [
        (UseDirectory(path="/home/ada", wait_seconds=0), BAD_HOME),
        (TryWriting(path="/home/ada"), HOME_NOT_PERMITTED),
        (ChangeDirectory(path="/home/ada"), BAD_HOME),
    ]


@pytest.mark.parametrize("hooks_as_root", [False, True])
def test_root_does_nothing_after_it_has_become_the_user(everything, hooks_as_root):
    everything["hooks"]["as_root"] = hooks_as_root
    actions = [step.action for step in plan(everything, uid=0, gid=0, groups=()).steps]
    kinds = [type(action) for action in actions]
    after = kinds.index(BecomeUser) + 1
    hooks = [RunHooks, RunHooks] if hooks_as_root else []
    assert kinds[:after] == [WriteAccounts, AllowSudo, *hooks, BecomeUser]
    assert kinds.count(RunHooks) == 2
    assert actions[after - 1] == BecomeUser(
        uid=10001, gid=10001, groups=(10001, 20101, 20500), may_return=True
    )
    assert kinds[after : after + 2] == [SetUmask, MakeHome] or kinds[after] is RunHooks


def test_ephemeral_steps(ephemeral):
    notice = build_notice(parse_spec(ephemeral).home)
    assert steps(ephemeral) == [
        (MakeHome(path="/home/ada", uid=10001), BAD_HOME),
        (WriteNotice(path="/home/ada/README.txt", text=notice), None),
        (ChangeDirectory(path="/home/ada"), BAD_HOME),
    ]


def test_what_is_moved_aside_in_a_direct_home(chosen):
    def move(name):
        return MoveAside(directory="/home/ada", name=name, today=TODAY)

    assert steps(chosen) == [
        (UseDirectory(path="/home/ada", wait_seconds=0), BAD_HOME),
        (TryWriting(path="/home/ada"), HOME_NOT_PERMITTED),
        (move(".local"), None),
        (move(".jupyter/lab/workspaces"), None),
        (ChangeDirectory(path="/home/ada"), BAD_HOME),
    ]
    origins = [(step.origin, step.purpose) for step in plan(chosen).steps][2:4]
    assert origins == [
        ("move_aside[0]", "move /home/ada/.local aside"),
        ("move_aside[1]", "move /home/ada/.jupyter/lab/workspaces aside"),
    ]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        # A link of the table, below one, and above some.
        ("work", ["work"]),
        (".gitconfig", ["config/gitconfig"]),
        ("work/a/b", ["work/a/b"]),
        ("deep/in/packages", ["packages/of/ada"]),
        ("deep/in/packages/lib", ["packages/of/ada/lib"]),
        ("deep", ["packages/of/ada", "other"]),
        ("deep/in", ["packages/of/ada", "other"]),
        # The store itself.
        ("store", ["."]),
        ("store/.local", [".local"]),
        # What is new with every server.
        (".local", []),
        ("works", []),
        ("deep/i", []),
    ],
)
def test_what_is_moved_aside_in_a_linked_home_is_what_lasts(linked, path, names):
    linked["home"]["links"] += [
        {
            "path": link,
            "target": target,
            "kind": "directory",
            "mode": "0700",
            "essential": False,
        }
        for link, target in (("deep/in/packages", "packages/of/ada"), ("deep/in/other", "other"))
    ]
    linked["move_aside"] = [path]
    actions = [action for action, _ in steps(linked)]
    assert actions[1] == UseDirectory(path="/mnt/home/ada", wait_seconds=0)
    assert actions[3 : 3 + len(names)] == [
        MoveAside(directory="/mnt/home/ada", name=name, today=TODAY) for name in names
    ]
    assert sum(isinstance(action, MoveAside) for action in actions) == len(names)


def test_nothing_is_moved_aside_in_a_home_that_is_new(ephemeral):
    before = steps(ephemeral)
    ephemeral["move_aside"] = [".local"]
    assert steps(ephemeral) == before


@pytest.mark.parametrize(
    ("path", "written"), [("README.txt", False), ("README.txt/in", False), ("README.text", True)]
)
def test_no_notice_where_a_link_has_its_name(linked, path, written):
    linked["home"]["links"][0]["path"] = path
    actions = [action for action, _ in steps(linked)]
    assert any(isinstance(action, WriteNotice) for action in actions) is written


def test_steps_say_where_in_the_spec_they_come_from(linked):
    assert [(step.origin, step.purpose) for step in plan(linked).steps] == [
        ("home.path", "make the home /home/ada as uid 10001"),
        ("home.store", "use /mnt/home/ada as uid 10001"),
        ("home.store", "write in /mnt/home/ada"),
        ("home.links[0].target", "make the folder /mnt/home/ada/work"),
        ("home.links[0].path", "make the link /home/ada/work"),
        ("home.links[1].target", "make the folder /mnt/home/ada/config"),
        ("home.links[1].path", "make the link /home/ada/.gitconfig"),
        ("home.links[2].path", "make the link /home/ada/store"),
        ("home.path", "write /home/ada/README.txt"),
        ("home.path", "enter the home /home/ada"),
        ("working_directory", "enter /home/ada/work"),
    ]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            {"uid": 0, "gid": 0},
            ("user.uid: the container runs as uid 0 and not as uid 10001; see the pod's runAsUser"),
        ),
        (
            {"uid": 1000},
            (
                "user.uid: the container runs as uid 1000 and not as uid 10001; "
                "see the pod's runAsUser"
            ),
        ),
        (
            {"gid": 100},
            (
                "user.gid: the container runs with gid 100 and not with gid 10001; "
                "see the pod's runAsGroup"
            ),
        ),
    ],
)
def test_another_identity_is_refused(linked, found, sentence):
    with pytest.raises(StartError) as caught:
        plan(linked, **found)
    assert caught.value.sentence == sentence
    assert caught.value.exit_code == WRONG_IDENTITY


def test_a_start_as_root_needs_root(everything):
    with pytest.raises(StartError) as caught:
        plan(everything)
    assert caught.value.sentence == (
        "start_as: the container runs as uid 10001 and not as root; see the pod's runAsUser"
    )
    assert caught.value.exit_code == WRONG_IDENTITY


@pytest.mark.parametrize("groups", [(10001, 20101), (20101,), (4, 20101)])
def test_groups_that_are_there(linked, groups):
    assert plan(linked, groups=groups).warnings == ()


def test_a_missing_group_is_a_warning(linked):
    (warning,) = plan(linked, groups=(10001,)).warnings
    assert warning == (
        "user.groups[1]: the container does not run with gid 20101 (cs101), files shared with that "
        "group may be out of reach; see the pod's supplementalGroups"
    )


def test_environment(linked):
    environ = {
        "PATH": "/usr/bin",
        "HOME": "/home/jovyan",
        "USER": "jovyan",
        "NB_USER": "jovyan",
        "NB_UID": "1000",
        "SUDO_USER": "root",
        "JHK8S_START_SPEC": "/spec",
        "JHK8S_": "",
        "MY_JHK8S_": "kept",
        "JUPYTERHUB_API_TOKEN": "secret",
    }
    before = dict(environ)
    assert plan(linked, environ).environ == {
        "PATH": "/usr/bin",
        "HOME": "/home/ada",
        "USER": "ada",
        "LOGNAME": "ada",
        "SHELL": "/bin/bash",
        # NB_GID was not set.
        "NB_USER": "ada",
        "NB_UID": "10001",
        "MY_JHK8S_": "kept",
        "JUPYTERHUB_API_TOKEN": "secret",
    }
    assert environ == before


def test_the_users_own_names_are_set_even_where_they_are_to_be_dropped(linked):
    linked["unset"] = ["HOME", "PATH", "NB_USER", "ABSENT"]
    environ = plan(linked, {"HOME": "/root", "PATH": "/bin", "NB_USER": "jovyan"}).environ
    assert "NB_USER" not in environ
    assert environ["HOME"] == "/home/ada"
    assert "PATH" not in environ


@pytest.mark.parametrize(
    ("arguments", "environ", "command"),
    [
        (["jupyterhub-singleuser", "--debug"], {}, ("jupyterhub-singleuser", "--debug")),
        ([], {"JUPYTERHUB_API_TOKEN": "secret"}, ("jupyterhub-singleuser",)),
        ([], {}, ("jupyter", "lab")),
    ],
)
def test_command(direct, arguments, environ, command):
    assert plan(direct, environ, arguments).command == command


def test_notice_of_a_linked_home(linked):
    assert build_notice(parse_spec(linked).home) == (
        "This folder, /home/ada, is made anew whenever your server starts.\n"
        "\n"
        "These last, and are here again the next time:\n"
        "\n"
        "    work/\n"
        "    .gitconfig\n"
        "    store/\n"
        "\n"
        "Everything else in this folder is gone when the server stops.\n"
    )


def test_notice_of_a_home_without_a_store(ephemeral):
    assert build_notice(parse_spec(ephemeral).home) == (
        "This folder, /home/ada, is made anew whenever your server starts.\n"
        "\n"
        "Nothing in it lasts: every file here is gone when the server stops.\n"
        "Download what you want to keep.\n"
    )


def test_notice_of_a_store_without_links(ephemeral):
    ephemeral["home"]["store"] = "/mnt/home/ada"
    assert "Save what you want to keep in /mnt/home/ada.\n" in build_notice(
        parse_spec(ephemeral).home
    )
