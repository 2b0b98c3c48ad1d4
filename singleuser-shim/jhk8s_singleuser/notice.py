"""The file that tells a user which part of an ephemeral home lasts."""

# ruff: noqa: PTH123
# Importing pathlib would take as long as all the rest of the shim.

from __future__ import annotations

import os
import stat

from .directories import lstat
from .spec import DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .actions import WriteNotice
    from .context import Context
    from .spec import File, Home, Link

NOTICE_NAME = "README.txt"
_NOTICE_MODE = 0o644


def build_notice(home: Home, files: Sequence[File] = ()) -> str:
    """Write the notice for an ephemeral home.

    Parameters
    ----------
    home
        Of the start spec.
    files
        Of the operator's in the home.

    Returns
    -------
    str
        Plain English, a few lines that end in a newline.
    """
    lasting = [link for link in home.links if not link.target.startswith("/")]
    elsewhere = [link for link in home.links if link.target.startswith("/")]
    parts = [f"This folder, {home.path}, is made anew whenever your server starts."]
    if lasting:
        parts.append(_list("These last, and are here again the next time:", map(_name, lasting)))
    if elsewhere:
        parts.append(
            _list(
                "These lead out of your home. What you may change there, and how long it stays, "
                "is up to\nthose who run this service:",
                [f"{_name(link)} -> {link.target}" for link in elsewhere],
            )
        )
    if files:
        parts.append(
            _list(
                "These come with your server. What you change in them is gone when it stops:",
                [file.path for file in files],
            )
        )
    end = (
        "Everything else in this folder is gone when the server stops."
        if home.links or files
        else "Nothing in it lasts: every file here is gone when the server stops."
    )
    if not lasting:
        end += (
            "\nDownload what you want to keep."
            if home.store is None
            else f"\nSave what you want to keep in {home.store}."
        )
    parts.append(end)
    return "\n\n".join(parts) + "\n"


def _list(title: str, names: Iterable[str]) -> str:
    return "\n".join([f"{title}\n", *(f"    {name}" for name in names)])


def _name(link: Link) -> str:
    return f"{link.path}/" if link.kind == DIRECTORY else link.path


def write_notice(action: WriteNotice, context: Context) -> None:
    """See `WriteNotice`."""
    path, content = context.root + action.path, action.text.encode()
    status = lstat(path)
    if status is not None:
        if not stat.S_ISREG(status.st_mode):
            return  # the user's own; the notice is not worth moving it
        with open(path, "rb") as file:
            if file.read() == content:
                return
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, _NOTICE_MODE), "wb") as file:
        file.write(content)
