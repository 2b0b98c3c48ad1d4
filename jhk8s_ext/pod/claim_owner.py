"""Whose a claim is: written on it when it is first used, and compared at every start.

A claim is named after a username. Where that name is given to somebody else the claim is still
there, and ``fsGroup`` would open its files to whoever has the name now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jhk8s_ext.errors import IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jhk8s_ext.identity.profile import Profile

UID_ANNOTATION = "jhk8s-ext/uid"
USERNAME_ANNOTATION = "jhk8s-ext/username"
#: When the claim was put aside with its user removed; nobody gets it before it is taken away.
ARCHIVED_ANNOTATION = "jhk8s-ext/archived"


def owner_annotations(profile: Profile) -> dict[str, str]:
    """Return what is written on a claim of this user's."""
    return {UID_ANNOTATION: str(profile.uid), USERNAME_ANNOTATION: profile.username}


def check_owner(name: str, annotations: Mapping[str, str], profile: Profile) -> bool:
    """Compare what is written on a claim with who wants it.

    Parameters
    ----------
    name
        Of the claim.
    annotations
        Of the claim.
    profile
        The user.

    Returns
    -------
    bool
        Whether its owner is written on it at all.

    Raises
    ------
    IdentityError
        If it is somebody else's, or was put aside.
    """
    if when := annotations.get(ARCHIVED_ANNOTATION):
        raise IdentityError(
            f"the claim {name!r} was archived on {when}: to use it again, remove its annotation "
            f"{ARCHIVED_ANNOTATION}; to begin with an empty one, delete it"
        )
    uid = annotations.get(UID_ANNOTATION)
    if uid is None:
        return False
    if uid != str(profile.uid):
        whose = annotations.get(USERNAME_ANNOTATION, "")
        raise IdentityError(
            f"the claim {name!r} holds the files of uid {uid} ({whose}), and the profile of "
            f"{profile.username} has uid {profile.uid}: if that is the same person, correct its "
            f"annotation {UID_ANNOTATION}; if not, rename or delete the claim"
        )
    return True
