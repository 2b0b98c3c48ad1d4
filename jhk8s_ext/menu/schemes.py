"""The schemes that an operator may name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jhk8s_ext.menu.fields import Fields
    from jhk8s_ext.menu.tags import TagScheme


def build_scheme(fields: Fields) -> TagScheme:
    """Read ``scheme``, and the keys that belong to it, of an item of ``ImageMenu.images``.

    Raises
    ------
    ConfigError
        If there is no such scheme, or its keys cannot be.
    """
    raise NotImplementedError
