from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest

from jhk8s_ext.cli.main import jhk8s as group
from jhk8s_ext.cli.main import main

PROGRAM = Path(sys.executable).with_name("jhk8s")


def run(*arguments, **environ):
    return subprocess.run(
        [PROGRAM, *arguments],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def run_on_a_terminal(*arguments, **environ):
    """Run the command with a terminal for its output; return what a person would see."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *arguments], env=os.environ | environ, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:
        pass  # as Linux says that the other side is closed
    finally:
        os.close(ours)
        process.wait(timeout=60)
    return seen.decode()


def test_help_names_every_command_and_imports_none():
    code = (
        "import sys; from jhk8s_ext.cli.main import main; status = main(['--help']);"
        "loaded = sorted({name.split('.')[0] for name in sys.modules});"
        "assert status == 0;"
        "assert not {'jupyterhub', 'kubespawner', 'ldap3', 'sqlalchemy'} & set(loaded), loaded"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    for name in ("config", "demo", "ids", "profile", "render"):
        assert f"\n  {name} " in ran.stdout


def test_nothing_is_asked_for_is_a_usage_error(capsys):
    assert main([]) == 2
    assert "Usage: jhk8s" in capsys.readouterr().err


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("jhk8s ")


def leaves(command, path, context):
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(context):
        if name != "demo":  # of an extra, which need not be installed
            yield from leaves(command.get_command(context, name), [*path, name], context)


COMMANDS = {" ".join(path): path for path, _ in leaves(group, [], click.Context(group))}


@pytest.mark.parametrize("path", COMMANDS.values(), ids=COMMANDS)
def test_every_command_has_an_example_in_its_help(capsys, path):
    assert main([*path, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"\n    jhk8s {' '.join(path)} " in out
    assert "Examples:" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("jhk8s re", "render"),
        ("jhk8s ids ex", "export"),
        ("jhk8s config ch", "check"),
        ("jhk8s ids list --kind gr", "group"),
        ("jhk8s render ada --serv", "--server-name"),
    ],
)
def test_the_shell_completes(words, expected):
    ran = run(
        COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1), _JHK8S_COMPLETE="bash_complete"
    )
    assert ran.returncode == 0
    assert f"plain,{expected}" in ran.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_script(shell):
    ran = run(_JHK8S_COMPLETE=f"{shell}_source")
    assert ran.returncode == 0
    assert f"_JHK8S_COMPLETE={shell}_complete" in ran.stdout


def test_colours_are_for_terminals_whose_users_want_them(write_config):
    broken = write_config({"ProfileKubeSpawner": {"home_layout": "odd"}})
    arguments = ("config", "check", str(broken))
    sentence = "ProfileKubeSpawner.home_layout: expected any of"
    plain = run(*arguments)
    assert sentence in plain.stderr
    assert "\x1b" not in plain.stderr + plain.stdout
    seen = run_on_a_terminal(*arguments, NO_COLOR="")
    assert sentence in seen
    assert "\x1b[31m" in seen
    assert "\x1b" not in run_on_a_terminal(*arguments, NO_COLOR="1")


def test_a_full_disk_is_told_in_a_sentence():
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [PROGRAM, "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert ran.returncode == 3
    assert ran.stderr == "jhk8s: the output cannot be written: No space left on device\n"
