"""The menu as KubeSpawner's ``profile_list``, for forms that read that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jhk8s_ext.menu.offer import Offer


def build_profile_list(offer: Offer) -> list[dict[str, Any]]:
    """Return a menu for KubeSpawner's form; what it posts is parsed against the offer itself."""
    raise NotImplementedError
