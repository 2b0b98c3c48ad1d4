"""Every check of `jhk8s doctor`, and every option, is on its page."""

from __future__ import annotations

import ast

import pytest

from jhk8s_ext.cli.doctor.command import doctor
from tests.docs.snippets import PROJECT

PAGE = (PROJECT / "docs/how-to/doctor.md").read_text(encoding="utf-8")
FINDINGS = {"passed", "failed", "doubtful", "skipped"}
SUBJECTS = {"test_user": ("entry", "profile", "login")}


def checks():
    """Return the names that findings are made with, where they stand there as texts."""
    found = {f"{head}.{tail}" for head, tails in SUBJECTS.items() for tail in tails}
    for path in sorted((PROJECT / "jhk8s_ext/cli/doctor").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in FINDINGS:
                found.update(texts(node.args[:1]))
            # Also where several names are given at once.
            if isinstance(node, ast.Assign):
                names = [
                    name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)
                ]
                values = getattr(node.value, "elts", [node.value])
                if names and names[0] in ("check", "_CHECK"):
                    found.update(texts(values[:1]))
    return sorted(found)


def texts(nodes):
    return [node.value for node in nodes if isinstance(node, ast.Constant)]


def test_there_are_many_checks():
    assert len(checks()) > 25


@pytest.mark.parametrize("check", checks())
def test_check_is_explained(check):
    # Reasons for a whole group are told under its head.
    heads = {line.partition("`")[2].partition(".")[0] for line in PAGE.splitlines()}
    assert f"`{check}`" in PAGE or check in heads


@pytest.mark.parametrize(
    "option", [option.opts[0] for option in doctor.params if option.name != "help"]
)
def test_option_is_explained(option):
    assert f"`{option}" in PAGE
