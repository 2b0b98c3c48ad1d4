"""The file that stands in the place of the system's gitconfig, git-config(1)."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jhk8s_ext.identity.profile import Profile

#: The image's own: of a git of its distribution, and of one of conda.
_IMAGES_OWN = ("/etc/gitconfig", "/opt/conda/etc/gitconfig")

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\b": "\\b"})

#: Joiners, which are not printable and which some scripts need inside of a name.
_JOINERS = "\u200c\u200d"
#: What git cuts off both ends of a name or an address; of nothing else it makes no commit.
_CRUD = "".join(map(chr, range(33))) + ".,:;<>\"\\'"

#: Answers for one user at one server. Whoever asks as somebody else gets no answer.
_HELPER = (
    '!f() {{ test "$1" = get && test -r {file} || return 0; '
    "while IFS= read -r line; do case $line in "
    'username=*) test "$line" = {asked} || return 0;; esac; done; '
    'printf "%s\\n" {asked} "password=$(cat {file})"; }}; f'
)


def build_include() -> str:
    """Return the lines that keep what the image has configured."""
    return "[include]\n" + "".join(f"\tpath = {path}\n" for path in _IMAGES_OWN)


def build_identity(profile: Profile) -> str:
    """Return who makes the user's commits; what the profile does not know is left out."""
    values = {"name": clean_identity(profile.full_name), "email": clean_identity(profile.email)}
    lines = [f"\t{key} = {quote(value)}\n" for key, value in values.items() if value]
    return "[user]\n" + "".join(lines) if lines else ""


def build_stored_credential(host: str) -> str:
    """Return the section that has git look into ``~/.git-credentials``."""
    return _section(host, "store")


def build_helper(host: str, username: str, file: str) -> str:
    """Return the section that has git read a token from a file.

    Parameters
    ----------
    host
        As in a URL.
    username
        At that host.
    file
        Path in the container; where it is missing, git goes on without it.
    """
    asked = shlex.quote(f"username={username}")
    return _section(host, _HELPER.format(file=shlex.quote(file), asked=asked))


def _section(host: str, helper: str) -> str:
    return f"[credential {quote(f'https://{host}')}]\n\thelper = {quote(helper)}\n"


def quote(value: str) -> str:
    """Return a value as git reads it back, whatever it holds but NUL."""
    return f'"{value.translate(_ESCAPES)}"'


def clean_identity(text: str) -> str:
    """Return a name or an address on one line, empty where git would refuse it."""
    line = "".join(c if c.isprintable() or c in _JOINERS else " " for c in text)
    return " ".join(line.split()) if line.strip(_CRUD) else ""
