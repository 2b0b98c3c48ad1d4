"""Every sentence with which we refuse something is on the troubleshooting page."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.snippets import PROJECT

PAGE = PROJECT / "docs/how-to/troubleshooting.md"
SHIM = PROJECT / "singleuser-shim/jhk8s_singleuser"

#: What a refusal is raised with, and what a warning of ours is logged with.
ERRORS = {
    "ConfigError",
    "IdentityError",
    "OptionsError",
    "UpstreamError",
    "StartError",
    "TraitError",
}
WARNINGS = {"warning", "error"}

#: Refusals of the start spec name its key; the page has one entry for all of them.
SOURCES = [
    *sorted((PROJECT / "jhk8s_ext").glob("**/*.py")),
    *(path for path in sorted(SHIM.glob("*.py")) if path.name not in ("document.py", "spec.py")),
]


def parts_of(node):
    """Return the literal texts in an expression, those of f-strings too."""
    return [
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]


def sentences():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name not in ERRORS | WARNINGS:
                continue
            # Of what is said, the parts with at least two words.
            texts = [text for argument in node.args for text in parts_of(argument)]
            parts = [
                part.strip(" :;,.'")
                for text in texts
                for part in re.split(r"%[rsd]", text)
                if len(part.split()) > 1
            ]
            if parts:
                where = f"{path.relative_to(PROJECT)}:{node.lineno}"
                yield pytest.param(parts, id=where)


@pytest.mark.parametrize("parts", list(sentences()))
def test_sentence_is_explained(parts):
    page = " ".join(PAGE.read_text(encoding="utf-8").replace("`", "").replace("*", "").split())
    # A part may be cut short on the page, and hold a value there.
    assert any(" ".join(part.split()[:3]) in page for part in parts), parts
