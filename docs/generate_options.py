"""Write the reference of our options from the traits: ``generate_options.py [--check]``.

With ``--check`` nothing is written, and the exit code is 1 where the page is out of date.
"""

import inspect
import json
import math
import re
import sys
from pathlib import Path

from jhk8s_ext.hub.authenticators import LDAPProfileAuthenticator
from jhk8s_ext.hub.cilogon import CILogonProfileAuthenticator
from jhk8s_ext.hub.github import GitHubProfileAuthenticator
from jhk8s_ext.hub.google import GoogleProfileAuthenticator
from jhk8s_ext.hub.menu import ImageMenu
from jhk8s_ext.hub.oidc import GenericProfileAuthenticator
from jhk8s_ext.hub.spawner import ProfileKubeSpawner

PAGE = Path(__file__).parent / "reference" / "options.md"

_OAUTHENTICATOR = "https://oauthenticator.readthedocs.io/en/latest/reference/api/gen"

#: Every class that an operator names, and where the options that it inherits are documented: of
#: those that inherit some.
CLASSES = {
    LDAPProfileAuthenticator: (
        "`ldapauthenticator.LDAPAuthenticator`",
        "https://github.com/jupyterhub/ldapauthenticator#readme",
    ),
    GitHubProfileAuthenticator: (
        "`oauthenticator.github.GitHubOAuthenticator`",
        f"{_OAUTHENTICATOR}/github.html",
    ),
    GoogleProfileAuthenticator: (
        "`oauthenticator.google.GoogleOAuthenticator`",
        f"{_OAUTHENTICATOR}/google.html",
    ),
    CILogonProfileAuthenticator: (
        "`oauthenticator.cilogon.CILogonOAuthenticator`",
        f"{_OAUTHENTICATOR}/cilogon.html",
    ),
    GenericProfileAuthenticator: (
        "`oauthenticator.generic.GenericOAuthenticator`",
        f"{_OAUTHENTICATOR}/generic.html",
    ),
    ProfileKubeSpawner: (
        "`kubespawner.KubeSpawner`",
        "https://jupyterhub-kubespawner.readthedocs.io/en/latest/spawner.html",
    ),
    ImageMenu: None,
}

INTRODUCTION = """\
<!-- Written by docs/generate_options.py from the traits: do not edit. -->
# Options

What our classes add to the options of the classes they are made from. A type is given in the words
of traitlets, a default as JSON.
"""

#: A paragraph of a help text that ends in "::", and the indented block that it announces.
_LITERAL_BLOCK = re.compile(r"::\n\n((?: {4}.*(?:\n|$)|\n)+)")


def build_page():
    return "\n".join([INTRODUCTION, *map(_class_section, CLASSES)])


def own_traits(cls):
    """Return the options that classes of this project declare, by name."""
    return {
        name: trait
        for name, trait in sorted(cls.class_traits(config=True).items())
        if trait.this_class.__module__.startswith("jhk8s_ext.")
    }


def _class_section(cls):
    head = f"## {cls.__name__}\n"
    if CLASSES[cls] is not None:
        base, address = CLASSES[cls]
        head += f"\nBeside the options of [{base}]({address}).\n"
    return "\n".join([head, *(_option(*item) for item in own_traits(cls).items())])


def _option(name, trait):
    kind = re.sub(r"^an? ", "", trait.info())
    if getattr(trait, "min", None) not in (None, -math.inf):
        kind += f", at least {trait.min}"
    default = json.dumps(trait.default())
    return f"### `{name}`\n\n*{kind}*, default `{default}`\n\n{_markdown(trait.help)}\n"


def _markdown(help_text):
    """Turn a help text, in the little reStructuredText that ours hold, into Markdown."""
    text = inspect.cleandoc(help_text).replace("``", "`")
    return _LITERAL_BLOCK.sub(lambda match: f":\n\n{_fenced(match[1])}\n\n", text).strip()


def _fenced(block):
    return f"```text\n{inspect.cleandoc(block)}\n```"


def main(arguments):
    page = build_page()
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print(f"{PAGE} is out of date: run python docs/generate_options.py", file=sys.stderr)
        return 1
    if arguments:
        print("usage: generate_options.py [--check]", file=sys.stderr)
        return 2
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
