"""The text that tells a user which part of an ephemeral home lasts."""

from __future__ import annotations

from .spec import DIRECTORY, Home

NOTICE_NAME = "README.txt"


def build_notice(home: Home) -> str:
    """Write the notice for an ephemeral home.

    Parameters
    ----------
    home
        Of the start spec.

    Returns
    -------
    str
        Plain English, a few lines that end in a newline.
    """
    begin = f"This folder, {home.path}, is made anew whenever your server starts.\n\n"
    if home.store is None:
        return begin + (
            "Nothing in it lasts: every file here is gone when the server stops.\n"
            "Download what you want to keep.\n"
        )
    if not home.links:
        return begin + (
            "Nothing in it lasts: every file here is gone when the server stops.\n"
            f"Save what you want to keep in {home.store}.\n"
        )
    names = "".join(
        f"    {link.path}{'/' if link.kind == DIRECTORY else ''}\n" for link in home.links
    )
    return begin + (
        f"These last, and are here again the next time:\n\n{names}\n"
        "Everything else in this folder is gone when the server stops.\n"
    )
