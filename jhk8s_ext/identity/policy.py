"""Who may log in and who is an administrator, by groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jhk8s_ext.identity.dn import is_dn, normalise_dn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedGroup:
    """A group as rules name it.

    Parameters
    ----------
    dn
        Its DN.
    name
        Its name, empty where it has none.
    """

    dn: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRules:
    """What the operator says of groups, each named by its DN or its name.

    Parameters
    ----------
    allowed
        Whose members may log in.
    blocked
        Whose members may not, whatever else says that they may.
    admin
        Whose members are administrators, and nobody else; None to leave that alone.
    """

    allowed: Sequence[str]
    blocked: Sequence[str]
    admin: Sequence[str] | None

    @property
    def dns(self) -> tuple[str, ...]:
        """The groups that are named by DN."""
        return tuple(rule for rule in self._all() if is_dn(rule))

    @property
    def names(self) -> tuple[str, ...]:
        """The groups that are named by name."""
        return tuple(rule for rule in self._all() if not is_dn(rule))

    def _all(self) -> tuple[str, ...]:
        return (*self.allowed, *self.blocked, *(self.admin or ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the rules make of an account.

    Parameters
    ----------
    allowed
        Those of the allowed groups that it is in, spelled as in the configuration.
    blocked
        Likewise of the blocked ones.
    is_admin
        None where groups do not decide that.
    """

    allowed: tuple[str, ...]
    blocked: tuple[str, ...]
    is_admin: bool | None


def judge(
    rules: GroupRules, groups: Iterable[NamedGroup], primary: Iterable[NamedGroup] = ()
) -> Standing:
    """Apply the rules to an account.

    Parameters
    ----------
    rules
        The operator's.
    groups
        Groups that list the account as a member.
    primary
        Its primary group, though it may not list it: enough to be blocked, not to be let in.
    """
    groups = list(groups)
    is_member = any(matching(rules.admin or (), groups))
    return Standing(
        allowed=matching(rules.allowed, groups),
        blocked=matching(rules.blocked, [*groups, *primary]),
        is_admin=None if rules.admin is None else is_member,
    )


def matching(rules: Sequence[str], groups: Collection[NamedGroup]) -> tuple[str, ...]:
    """Return those of the rules that name one of the groups, in any case and spelling."""
    if not rules:
        return ()
    dns = {normalise_dn(group.dn) for group in groups}
    names = {group.name.casefold() for group in groups if group.name}
    return tuple(rule for rule in rules if normalise_dn(rule) in dns or rule.casefold() in names)
