"""Which uids and gids a person may have."""

from __future__ import annotations

from dataclasses import dataclass

from jhk8s_ext.errors import IdentityError

#: Ids that mean "nobody" or "no change" to a kernel or a file server. None may belong to a person.
RESERVED_IDS = frozenset(
    {
        65534,  # nobody and nogroup on Debian, and what NFS squashes root to
        65535,  # (uid_t)-1 on 16-bit interfaces, see chown32(2)
        2**32 - 2,  # nobody on servers that count -2 as unsigned
        2**32 - 1,  # (uid_t)-1: "leave unchanged" to chown(2) and setresuid(2)
    }
)

#: Linux ids are 32 bits without sign, but Kubernetes admits int32 only in a securityContext.
MAX_ID = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IdLimits:
    """The lowest ids an account may have.

    Parameters
    ----------
    uid_floor, gid_floor
        The first uid and gid that belong to people. Debian and Red Hat give lower ones to the
        system (``UID_MIN`` and ``GID_MIN`` in login.defs(5)). At least 1: never root.
    """

    uid_floor: int
    gid_floor: int

    def check_uid(self, uid: int) -> None:
        """Raise `IdentityError` where no person may have this uid."""
        _check("uid", uid, self.uid_floor)

    def check_gid(self, gid: int) -> None:
        """Raise `IdentityError` where no group of people may have this gid."""
        _check("gid", gid, self.gid_floor)


def _check(kind: str, value: int, floor: int) -> None:
    if value in RESERVED_IDS:
        raise IdentityError(f"{kind} {value} is reserved and belongs to nobody")
    if value < max(floor, 1):
        raise IdentityError(f"{kind} {value} is below {kind}_floor, {max(floor, 1)}")
    if value > MAX_ID:
        raise IdentityError(f"{kind} {value} is above {MAX_ID}, the highest that Kubernetes takes")
