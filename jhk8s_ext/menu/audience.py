"""Who may use an item of the menu, and for whom it is the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jhk8s_ext.menu.fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """The groups an item is for.

    Parameters
    ----------
    groups
        Names of groups of the profile that may use it; empty for everybody.
    default_for
        Names of groups whose default it is.
    is_default
        Whether it is the default of everybody else.
    """

    groups: frozenset[str]
    default_for: frozenset[str]
    is_default: bool

    def admits(self, groups: Iterable[str]) -> bool:
        """Return whether a member of these groups may use the item."""
        return not self.groups or not self.groups.isdisjoint(groups)


class _HasAudience(Protocol):
    @property
    def audience(self) -> Audience: ...


_Item = TypeVar("_Item", bound=_HasAudience)


def parse_audience(fields: Fields) -> Audience:
    """Read ``groups``, ``default_for`` and ``default`` of an item."""
    return Audience(
        groups=frozenset(fields.some_texts("groups")),
        default_for=frozenset(fields.texts("default_for")),
        is_default=fields.flag("default"),
    )


def admitted(items: Iterable[_Item], groups: Iterable[str]) -> tuple[_Item, ...]:
    """Return the items that a member of these groups may use, in their order."""
    members = frozenset(groups)
    return tuple(item for item in items if item.audience.admits(members))


def default_of(items: Sequence[_Item], groups: Iterable[str]) -> _Item | None:
    """Return the default: of a group, else of everybody, else the first; None of nothing."""
    members = frozenset(groups)
    for item in items:
        if not item.audience.default_for.isdisjoint(members):
            return item
    return next((item for item in items if item.audience.is_default), items[0] if items else None)
