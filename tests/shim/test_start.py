"""The built shim as a container runs it: a process that becomes the server."""

import json
import os
import shutil
import signal
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from jhk8s_singleuser import __main__ as shim
from jhk8s_singleuser import __version__
from jhk8s_singleuser.exits import (
    BAD_HOME,
    BAD_SPEC,
    COMMAND_NOT_EXECUTABLE,
    COMMAND_NOT_FOUND,
    HOME_NOT_PERMITTED,
    INTERNAL_ERROR,
    WRONG_IDENTITY,
)
from jhk8s_singleuser.facts import look_up_facts
from jhk8s_singleuser.report import write_termination_log

SAY_EVERYTHING = "pwd -P; id -u; id -g; env"


def assert_refused(done, container, exit_code, sentence):
    """The exit code, the log and the termination log say the same."""
    assert done.returncode == exit_code
    assert done.stdout == ""
    assert done.stderr == f"jhk8s-start: {sentence}\n"
    assert container.termination_log.read_text() == sentence


def provide_for(container, document):
    """Mount what the document says is mounted."""
    if document["home"]["kind"] == "direct":
        container.provide(container.home)
    if document["home"]["store"]:
        container.provide(container.store)


def test_its_version_is_told_without_a_start_spec(container):
    done = container.start("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"jhk8s-start {__version__}\n"
    assert not container.home.exists()


def test_every_document_that_starts_as_the_user_starts_a_server(container, users_document):
    container.write_spec(users_document)
    provide_for(container, users_document)
    done = container.start(
        "sh", "-c", SAY_EVERYTHING, KEPT="1", SUDO_USER="root", SUDO_COMMAND="sh"
    )
    assert (done.returncode, done.stderr) == (0, "")
    directory, uid, gid, *environ = done.stdout.splitlines()
    linked = users_document["home"]["links"]
    assert directory == str(container.store / "work" if linked else container.home)
    assert (int(uid), int(gid)) == (os.getuid() or 10001, os.getgid() or 10001)
    assert f"HOME={container.home}" in environ
    assert {"USER=ada", "LOGNAME=ada", "SHELL=/bin/bash", "KEPT=1"} <= set(environ)
    assert not [variable for variable in environ if variable.startswith(("JHK8S_", "SUDO_"))]
    assert container.termination_log.read_text() == ""


def test_a_restarted_container_finds_what_was_saved(container, linked):
    container.write_spec(linked)
    container.provide(container.store)
    script = "cat ~/work/note ~/plain; echo kept > ~/work/note; echo here > ~/plain"
    first = container.start("sh", "-c", script)
    assert first.stdout == ""
    again = container.start("sh", "-c", script)
    assert (again.stdout, again.stderr) == ("kept\nhere\n", "")
    shutil.rmtree(container.home)  # the pod is gone, and its emptyDir with it
    later = container.start("sh", "-c", script)
    assert later.stdout == "kept\n"


def test_names_lead_into_the_store(container, linked):
    container.write_spec(linked)
    container.provide(container.store)
    done = container.start("sh", "-c", "echo '[user]' > ~/.gitconfig; ls -a ~; stat -c %a ~")
    assert done.stderr == ""
    assert done.stdout.split() == [".", "..", ".gitconfig", "README.txt", "store", "work", "700"]
    assert (container.store / "config/gitconfig").read_text() == "[user]\n"


@pytest.mark.parametrize(
    ("environ", "arguments", "output"),
    [
        ({"JUPYTERHUB_API_TOKEN": "secret"}, [], "jupyterhub-singleuser\n"),
        ({}, [], "jupyter lab\n"),
        ({}, ["jupyter", "a b", "", "--c=d"], "jupyter a b  --c=d\n"),
    ],
)
def test_command(container, ephemeral, environ, arguments, output):
    container.write_spec(ephemeral)
    container.provide_command("jupyterhub-singleuser")
    container.provide_command("jupyter")
    done = container.start(*arguments, **environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_the_server_ignores_no_signal_that_python_ignores(container, ephemeral):
    container.write_spec(ephemeral)
    done = container.start("grep", "SigIgn", "/proc/self/status")
    ignored = int(done.stdout.split()[1], 16)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        assert not ignored & 1 << (number - 1), number


def test_the_zipapp_starts_by_itself(container, ephemeral):
    container.write_spec(ephemeral)
    path = f"{Path(container.python).parent}:/usr/bin:/bin"
    done = container.as_user(str(container.zipapp), "pwd", PATH=path)
    assert (done.returncode, done.stdout) == (0, f"{container.home}\n")


def test_a_missing_spec(container):
    assert_refused(
        container.start("true"),
        container,
        BAD_SPEC,
        f"the start spec {container.root}/start.json cannot be read: No such file or directory",
    )


def test_a_spec_that_breaks_the_contract(container, linked):
    linked["home"]["links"][2]["target"] = "../bob"
    container.write_spec(linked)
    assert_refused(
        container.start("true"),
        container,
        BAD_SPEC,
        f"the start spec {container.root}/start.json: home.links[2].target: '../bob' has a part "
        "that is '..', where a name is needed",
    )


def test_another_user(container, ephemeral):
    container.write_spec(ephemeral)
    path = container.root / "start.json"
    document = json.loads(path.read_text())
    running = document["user"]["uid"]
    document["user"]["uid"] += 1
    path.write_text(json.dumps(document))
    assert_refused(
        container.start("true"),
        container,
        WRONG_IDENTITY,
        f"user.uid: the container runs as uid {running} and not as uid {running + 1}; "
        "see the pod's runAsUser",
    )
    assert not container.home.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start the shim as root")
def test_root_is_refused_and_touches_nothing(container, linked):
    container.write_spec(linked)
    container.provide(container.store)
    assert_refused(
        replace(container, identity=()).start("true"),
        container,
        WRONG_IDENTITY,
        "user.uid: the container runs as uid 0 and not as uid 10001; see the pod's runAsUser",
    )
    assert not container.home.exists()
    assert list(container.store.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can take a group away")
def test_a_missing_group_is_reported(container, linked):
    container.write_spec(linked)
    container.provide(container.store)
    *user, _ = container.identity
    done = replace(container, identity=(*user, "--clear-groups")).start("true")
    assert done.returncode == 0
    assert done.stderr == (
        "jhk8s-start: user.groups[1]: the container does not run with gid 20101 (cs101), files "
        "shared with that group may be out of reach; see the pod's supplementalGroups\n"
    )


def test_a_home_that_may_not_be_made(container, ephemeral):
    container.write_spec(ephemeral)
    (container.root / "home").chmod(0o555)
    done = container.start("true")
    assert_refused(
        done,
        container,
        BAD_HOME,
        f"home.path: cannot make the home {container.home} as uid {os.getuid() or 10001}: "
        "Permission denied",
    )


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o300])
def test_a_direct_home_that_is_closed(container, direct, mode):
    container.write_spec(direct)
    container.provide(container.home, mode)
    assert_refused(
        container.start("true"),
        container,
        HOME_NOT_PERMITTED,
        f"home.path: cannot use the home {container.home} as uid {os.getuid() or 10001}: "
        "Permission denied",
    )


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o300])
def test_a_store_that_is_closed(container, linked, mode):
    container.write_spec(linked)
    container.provide(container.store, mode)
    assert_refused(
        container.start("true"),
        container,
        HOME_NOT_PERMITTED,
        f"home.store: cannot use {container.store} as uid {os.getuid() or 10001}: "
        "Permission denied",
    )


def test_a_store_that_cannot_be_written_still_gives_a_server(container, linked):
    container.write_spec(linked)
    container.provide(container.store, 0o500)
    done = container.start("pwd")
    assert (done.returncode, done.stdout) == (0, f"{container.home}\n")
    said = done.stderr.splitlines()
    assert said[0].startswith(f"jhk8s-start: {container.store} is yours, and its permissions ")
    assert [line.partition(": cannot")[0] for line in said[1:]] == [
        "jhk8s-start: home.links[0].target",
        "jhk8s-start: home.links[1].target",
        "jhk8s-start: working_directory",
    ]
    assert container.termination_log.read_text() == ""


@pytest.mark.parametrize("last", ["/bin", "/absent", "/etc/passwd"])
def test_a_command_that_is_not_there(container, ephemeral, last):
    container.write_spec(ephemeral)
    path = f"/usr/bin:{last}"
    assert_refused(
        container.start("no-such-server", PATH=path),
        container,
        COMMAND_NOT_FOUND,
        "the command 'no-such-server', or the interpreter it names, was not found; "
        f"PATH is '{path}'",
    )


def test_an_image_without_jupyterhub_is_told_so(container, ephemeral):
    container.write_spec(ephemeral)
    assert_refused(
        container.start("jupyterhub-singleuser", PATH="/bin"),
        container,
        COMMAND_NOT_FOUND,
        "the command 'jupyterhub-singleuser', or the interpreter it names, was not found; "
        "the image needs the Python package jupyterhub; PATH is '/bin'",
    )


def test_a_command_that_cannot_be_executed(container, ephemeral):
    container.write_spec(ephemeral)
    (container.root / "server").touch()
    assert_refused(
        container.start(f"{container.root}/server", PATH="/bin"),
        container,
        COMMAND_NOT_EXECUTABLE,
        f"the command '{container.root}/server' cannot be run: Permission denied; PATH is '/bin'",
    )


@pytest.mark.parametrize("log", ["absent/log", "home"])
def test_a_termination_log_that_cannot_be_written_changes_nothing(container, log):
    done = container.start("true", JHK8S_TERMINATION_LOG=f"{container.root}/{log}")
    assert done.returncode == BAD_SPEC
    assert done.stderr.count("\n") == 1
    assert not (container.root / "absent").exists()


def test_a_termination_log_gets_no_more_than_kubernetes_keeps(tmp_path):
    path = tmp_path / "log"
    path.touch()
    environ = {"JHK8S_TERMINATION_LOG": "/log"}
    write_termination_log("\N{LATIN SMALL LETTER E WITH ACUTE}" * 4096, environ, str(tmp_path))
    assert path.read_text() == "\N{LATIN SMALL LETTER E WITH ACUTE}" * 2048


def test_facts():
    facts = look_up_facts()
    assert (facts.uid, facts.gid) == (os.getuid(), os.getgid())
    today = date.today()  # noqa: DTZ011 - a user's day is the local one
    assert facts.today in {str(today), str(today - timedelta(days=1))}  # midnight may have passed


def test_a_defect_of_the_shim_is_one_sentence_and_a_traceback(tmp_path, monkeypatch, capsys):
    def fail(path):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(shim, "read_spec", fail)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/termination-log").write_text(
        "of an earlier start, and longer than this one" * 9
    )
    assert shim.run(["true"], {}, str(tmp_path)) == INTERNAL_ERROR
    sentence = "an internal error, please report it: ZeroDivisionError: division by zero"
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last):\n")
    assert error.endswith(f"\njhk8s-start: {sentence}\n")
    first, *traceback = (tmp_path / "dev/termination-log").read_text().splitlines()
    assert first == sentence
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1] == "ZeroDivisionError: division by zero"


def test_the_spec_is_looked_for_where_kubernetes_shows_it(tmp_path, capsys):
    assert shim.run(["true"], {}, str(tmp_path)) == BAD_SPEC
    assert f"the start spec {tmp_path}/etc/jhk8s/start.json cannot" in capsys.readouterr().err
