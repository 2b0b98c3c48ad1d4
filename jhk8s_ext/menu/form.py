"""The menu as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jhk8s_ext.menu.offer import Offer


def render_form(offer: Offer, *, last_options: object, now: float, tags_url: str) -> str:
    """Return the fields of JupyterHub's form.

    Parameters
    ----------
    offer
        What the user may choose.
    last_options
        What they chose last, trusted in nothing: it is preselected, or said to be gone.
    now
        In seconds since 1970, for ages.
    tags_url
        Where the drop-down of all tags asks.
    """
    raise NotImplementedError
