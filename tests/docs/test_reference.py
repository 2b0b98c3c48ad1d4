from __future__ import annotations

import ast
import importlib.util
import re
from importlib.metadata import entry_points

import pytest
from jhk8s_singleuser import exits

from jhk8s_ext.hub.menu import ImageMenu
from tests.docs.snippets import PAGES, PROJECT

MORE_PAGES = [
    PROJECT / "deploy/README.md",
    PROJECT / "singleuser-shim/README.md",
    PROJECT / "tests/cluster/README.md",
]

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_FENCED = re.compile(r"^ *(```+)[^\n]*\n.*?^ *\1$", re.MULTILINE | re.DOTALL)
_PROJECT_PATH = re.compile(
    r"(?:jhk8s_ext|singleuser-shim|hub-image|deploy|tests|docs|benchmarks)/[\w./*-]*"
)
_TEST = re.compile(r"(?P<path>tests/[\w/]+\.py)::(?P<name>test_\w+)")


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location(
        "generate_options", PROJECT / "docs/generate_options.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_options_are_those_of_the_traits(generator, capsys):
    assert generator.main(["--check"]) == 0, capsys.readouterr().err


def test_a_page_that_is_out_of_date_is_found(generator, monkeypatch, tmp_path):
    monkeypatch.setattr(generator, "PAGE", tmp_path / "options.md")
    assert generator.main(["--check"]) == 1
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
    (tmp_path / "options.md").write_text("# Options\n")
    assert generator.main(["--check"]) == 1


def test_every_class_that_can_be_named_has_its_options(generator):
    points = [
        *entry_points(group="jupyterhub.authenticators"),
        *entry_points(group="jupyterhub.spawners"),
    ]
    ours = {point.load() for point in points if point.value.startswith("jhk8s_ext.")}
    # The menu is no class that JupyterHub makes.
    assert {*ours, ImageMenu} == generator.CLASSES.keys()


def test_every_option_has_a_help_text(generator):
    for cls in generator.CLASSES:
        for name, trait in generator.own_traits(cls).items():
            assert trait.help.strip(), name


def test_the_exit_codes_are_those_of_the_shim():
    codes = {
        value for name, value in vars(exits).items() if name.isupper() and name != "TYPE_CHECKING"
    }
    readme = (PROJECT / "singleuser-shim/README.md").read_text()
    table = re.findall(r"^\| (\d+) \|", readme, re.MULTILINE)
    assert sorted(map(int, table)) == sorted(codes)
    symptoms = (PROJECT / "docs/how-to/troubleshooting.md").read_text()
    for code in codes:
        assert f"Exit code {code}" in symptoms


def without_blocks(page):
    return _FENCED.sub("", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [*PAGES, *MORE_PAGES], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in _LINK.findall(without_blocks(page)):
        path = target.partition("#")[0]
        if path and "://" not in path:
            assert (page.parent / path).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_of_the_project_exist(page):
    for code in _CODE.findall(without_blocks(page)):
        path = code.partition("::")[0]
        if _PROJECT_PATH.fullmatch(path):
            assert any(PROJECT.glob(path.rstrip("/"))), code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_are_named_exist(page):
    for match in _TEST.finditer(page.read_text(encoding="utf-8")):
        tree = ast.parse((PROJECT / match["path"]).read_text(encoding="utf-8"))
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        names = {node.name for node in ast.walk(tree) if isinstance(node, functions)}
        assert match["name"] in names, match[0]


def test_every_page_of_the_documentation_is_in_a_table_of_contents():
    index = (PROJECT / "docs/index.md").read_text()
    for page in PAGES:
        name = page.relative_to(PROJECT).with_suffix("").as_posix()
        if name.startswith("docs/") and name != "docs/index" and "/decisions/" not in name:
            assert name.removeprefix("docs/") in index, page
