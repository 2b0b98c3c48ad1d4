"""``user_options`` out of what a form posts, or a URL's query holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jhk8s_ext.errors import OptionsError
from jhk8s_ext.menu.choice import ENTRY, IMAGE, TYPED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Field of our form: the radio button that is on, ``ENTRY:TAG``.
PICK = "pick"

#: In the place of a tag: what the entry's drop-down says.
OTHER_TAG = "*"

#: Beginning of the names of our form's fields for a tag and for the name of an image, of an entry.
TAG_FIELD = "tag:"
TYPED_FIELD = "typed:"

#: Beginning of the names of KubeSpawner's fields.
_STOCK = "profile-option-"

#: Field of jupyterhub-fancy-profiles, beside ``profile``.
_FANCY = "select-profile"

#: What JupyterHub's own scripts may add.
_IGNORED = frozenset({"_xsrf"})


def read_form(fields: Mapping[str, Sequence[object]]) -> dict[str, str]:
    """Read the fields of our form, of KubeSpawner's, or of a query such as ``?profile=lab``.

    Nothing is judged here: `jhk8s_ext.menu.choice.parse_choice` does that, whatever the way.

    Parameters
    ----------
    fields
        Field to its values.

    Raises
    ------
    OptionsError
        If a field has several values, or one that is no text.
    """
    found = {key: _only(key, values) for key, values in fields.items() if key not in _IGNORED}
    if PICK in found:
        return _read_ours(found)
    if any(key.startswith((_STOCK, _FANCY)) for key in found):
        return _read_stock(found)
    return found


def _only(key: str, values: Sequence[object]) -> str:
    if len(values) != 1:
        raise OptionsError(key, f"has {len(values)} values")
    (value,) = values
    if not isinstance(value, str):
        raise OptionsError(key, "is no text")
    return value


def _read_ours(fields: dict[str, str]) -> dict[str, str]:
    """Read our form, in which every entry has fields, of which those that were not picked wait."""
    entry, _, tag = fields.pop(PICK).partition(":")
    other, typed = fields.get(f"{TAG_FIELD}{entry}", ""), fields.get(f"{TYPED_FIELD}{entry}", "")
    found = {ENTRY: entry}
    if tag == OTHER_TAG:
        if f"{TYPED_FIELD}{entry}" not in fields and not other:
            raise OptionsError(IMAGE, "is empty: choose one of the other images")
        found |= {TYPED: typed} if typed else {IMAGE: other}
    elif tag:
        found[IMAGE] = tag
    rest = {
        key: value
        for key, value in fields.items()
        if not key.startswith((TAG_FIELD, TYPED_FIELD)) and value
    }
    return {**rest, **found}


def _read_stock(fields: dict[str, str]) -> dict[str, str]:
    """Read KubeSpawner's form, in which every entry has its own fields for the same options."""
    entry = fields.get(ENTRY, "")
    prefix = f"{_STOCK}{entry}--"
    found = {}
    for key, value in fields.items():
        if key.startswith(prefix):
            found[key.removeprefix(prefix)] = value
        elif not key.startswith(_STOCK) and key != _FANCY:
            found[key] = value
    if found.get(TYPED):
        # Some forms say then, in the place of a tag, that there is no tag.
        found.pop(IMAGE, None)
    return found
