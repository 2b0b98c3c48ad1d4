"""The people of the demo's directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BASE_DN = "dc=example,dc=edu"
PEOPLE_DN = f"ou=people,{BASE_DN}"
GROUPS_DN = f"ou=groups,{BASE_DN}"
SERVICE_DN = f"cn=hub-service,{BASE_DN}"

#: Group to gid and members, beside everybody's own.
_GROUPS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "cs101": (20101, ("ada", "linus")),
    "staff-cs": (20102, ("grace",)),
    "telescope": (20103, ("ada", "grace")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person.

    Parameters
    ----------
    name, full_name
        As in the directory.
    uid, gid
        Of the servers' processes.
    """

    name: str
    full_name: str
    uid: int
    gid: int

    @property
    def groups(self) -> list[str]:
        """Return the names of the groups beside the account's own."""
        return [name for name, (_, members) in _GROUPS.items() if self.name in members]


def build_accounts(identity: tuple[int, int] | None) -> list[Account]:
    """Return everybody.

    Parameters
    ----------
    identity
        The uid and gid that all have, where there is only one to be had.
    """
    people = (
        ("ada", "Ada Lovelace", 10001),
        ("grace", "Grace Hopper", 10002),
        ("linus", "Linus Pauling", 10003),
    )
    return [
        Account(
            name=name,
            full_name=full_name,
            uid=identity[0] if identity else number,
            gid=identity[1] if identity else number,
        )
        for name, full_name, number in people
    ]


def build_tree(accounts: Sequence[Account]) -> list[dict[str, Any]]:
    """Return the directory's entries, parents first: ``dn`` and ``attributes``."""
    return [
        _entry(BASE_DN, ["domain"], dc=["example"]),
        _entry(PEOPLE_DN, ["organizationalUnit"], ou=["people"]),
        _entry(GROUPS_DN, ["organizationalUnit"], ou=["groups"]),
        _entry(SERVICE_DN, ["organizationalRole"], cn=["hub-service"]),
        *(_person(account) for account in accounts),
        *_own_groups(accounts),
        *(
            _entry(
                f"cn={name},{GROUPS_DN}",
                ["posixGroup"],
                cn=[name],
                gidNumber=[str(gid)],
                memberUid=list(members),
            )
            for name, (gid, members) in _GROUPS.items()
        ),
    ]


def dn_of(account: Account) -> str:
    """Return the DN of an account."""
    return f"uid={account.name},{PEOPLE_DN}"


def _person(account: Account) -> dict[str, Any]:
    return _entry(
        dn_of(account),
        ["inetOrgPerson", "posixAccount"],
        uid=[account.name],
        cn=[account.full_name],
        sn=[account.full_name.split()[-1]],
        mail=[f"{account.name}@example.edu"],
        uidNumber=[str(account.uid)],
        gidNumber=[str(account.gid)],
        homeDirectory=[f"/home/{account.name}"],
        loginShell=["/bin/bash"],
    )


def _own_groups(accounts: Sequence[Account]) -> list[dict[str, Any]]:
    names = {account.gid: account.name for account in accounts}
    if len(names) < len(accounts):
        names = dict.fromkeys(names, "everybody")
    return [
        _entry(f"cn={name},{GROUPS_DN}", ["posixGroup"], cn=[name], gidNumber=[str(gid)])
        for gid, name in names.items()
    ]


def _entry(dn: str, classes: list[str], **attributes: list[str]) -> dict[str, Any]:
    return {"dn": dn, "attributes": {"objectClass": classes, **attributes}}
