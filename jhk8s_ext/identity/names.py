"""Names that are safe in /etc/passwd, in /etc/group and in a path."""

from __future__ import annotations

import re
import unicodedata
from itertools import count
from typing import TYPE_CHECKING

from jhk8s_ext.errors import IdentityError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Longest name that shadow-utils and utmp(5) take.
MAX_NAME_LENGTH = 32

#: POSIX 3.437 (User Name) without capitals: JupyterHub lower-cases usernames anyway.
_USERNAME = re.compile(r"[a-z0-9_][a-z0-9_.-]*")
_GROUP_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

#: Accounts of a base Debian or Red Hat image. A person with one of these names would be taken for
#: the system's own, in logs, cron tables and sudo rules.
SYSTEM_NAMES = frozenset(
    """
    root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats
    nobody nogroup systemd-network systemd-resolve messagebus sshd _apt adm tty disk kmem dialout
    fax voice cdrom floppy tape sudo audio dip operator src shadow utmp video sasl plugdev staff
    users wheel docker halt shutdown ftp input render kvm sgx crontab ssh tss dbus polkitd
    """.split()  # noqa: SIM905 - a table of one column is harder to read
)


def check_username(name: str) -> None:
    """Raise `IdentityError` unless a person may have this account name.

    A name of digits only is refused: ``chown 1234`` and sudo rules would take it for an id.
    """
    if not _USERNAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise IdentityError(
            f"username {name!r} is not a POSIX account name (up to {MAX_NAME_LENGTH} of a-z, 0-9, "
            "dot, hyphen and underscore, not starting with a dot or hyphen)"
        )
    if name.isdigit():
        raise IdentityError(f"username {name!r} is a number and would be taken for a uid")
    if name in SYSTEM_NAMES:
        raise IdentityError(f"username {name!r} is a system account's")


def is_group_name(name: str) -> bool:
    """Say whether a name may stand in /etc/group for a group of people."""
    return (
        bool(_GROUP_NAME.fullmatch(name))
        and len(name) <= MAX_NAME_LENGTH
        and not name.isdigit()
        and name not in SYSTEM_NAMES
    )


def sanitise_group_names(groups: Iterable[tuple[str, int]]) -> dict[int, str]:
    """Give each gid a valid name of its own, close to the source's.

    Parameters
    ----------
    groups
        Pairs of the source's name and the gid. Where a gid comes twice the first name stands, so
        the user's own group belongs at the front.

    Returns
    -------
    dict
        gid to name, in the order given. A valid name stays as it is; any other is reduced to
        ASCII and ends in its gid, so that it depends on no other group and is the same at every
        login: ``data science`` with gid 20102 becomes ``data_science-20102``. Of several groups
        with one valid name the first keeps it.
    """
    first_names: dict[int, str] = {}
    for name, gid in groups:
        first_names.setdefault(gid, name)
    names: dict[int, str] = {}
    taken: set[str] = set()
    for gid, name in first_names.items():
        names[gid] = next(valid for valid in _candidates(name, gid) if valid not in taken)
        taken.add(names[gid])
    return names


def _candidates(name: str, gid: int) -> Iterator[str]:
    """Yield valid names for a group, the preferred one first, without end."""
    if is_group_name(name):
        yield name
    yield _with_gid(name, gid)
    for number in count(2):
        yield _with_gid(f"group{number}", gid)


def _with_gid(name: str, gid: int) -> str:
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", ascii_name).strip("_.-") or "group"
    suffix = f"-{gid}"
    return stem[: MAX_NAME_LENGTH - len(suffix)] + suffix
