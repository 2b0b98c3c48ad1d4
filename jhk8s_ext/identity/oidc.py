"""From the claims of an OpenID Connect provider to what it says of an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jhk8s_ext.errors import IdentityError
from jhk8s_ext.identity.account import SourceAccount, SourceGroup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_DIGITS = 10

#: OpenID Connect Core 1.0, section 2, on ``sub``.
_MAX_SUBJECT_LENGTH = 255

#: Longest text of a claim that an error quotes.
_MAX_QUOTED = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPaths:
    """Where in the claims an account is found. Empty: nowhere.

    Parameters
    ----------
    subject
        What never changes about an account.
    uid, gid
        Numbers.
    groups
        A list of names or of objects.
    group_name, group_gid
        Within each object of that list.
    full_name, email, shell
        Text.
    """

    subject: str
    uid: str = ""
    gid: str = ""
    groups: str = ""
    group_name: str = "name"
    group_gid: str = "gid"
    full_name: str = "name"
    email: str = "email"
    shell: str = ""


def find_claim(claims: object, path: str) -> Any:
    """Return what is at a dotted path, None where there is nothing.

    A key may hold dots itself, as ``https://example.edu/roles``: of the keys that a path can
    begin with, longer ones come first.
    """
    if not isinstance(claims, dict):
        return None
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        value = claims.get(".".join(parts[:length]))
        if value is not None and length < len(parts):
            value = find_claim(value, ".".join(parts[length:]))
        if value is not None:
            return value
    return None


def has_values(claims: object, required: Mapping[str, Sequence[object]]) -> str:
    """Compare claims with what they have to be, exactly and as whole values.

    Parameters
    ----------
    claims
        Of an account.
    required
        Path of each claim that is looked at, to the values of which it has to have one. Of a
        claim that is a list any member counts.

    Returns
    -------
    str
        The path of the first claim that has none of its values, empty where all have.
    """
    for path, values in required.items():
        found = find_claim(claims, path)
        members = found if isinstance(found, list) else [found]
        if not any(_is_same(member, value) for member in members for value in values):
            return path
    return ""


def is_in_domain(email: object, domains: Sequence[str]) -> bool:
    """Say whether an address ends in one of some domains: what follows its last @, whole."""
    if not isinstance(email, str):
        return False
    user, at, domain = email.rpartition("@")
    return bool(user and at) and domain.lower() in {wanted.lower() for wanted in domains}


def is_verified(value: object) -> bool:
    """Say whether ``email_verified`` is true. Some providers answer with text."""
    return value is True or value == "true"


def read_account(source: str, claims: object, paths: ClaimPaths) -> SourceAccount:
    """Read what a provider says of an account.

    Parameters
    ----------
    source
        Which kind of source it is.
    claims
        The answer of the userinfo endpoint, or what an id token holds.
    paths
        Where to look.

    Raises
    ------
    IdentityError
        If a claim is missing, or is not what it has to be.
    """
    if not isinstance(claims, dict):
        raise IdentityError(f"the claims are a {type(claims).__name__}, not an object")
    return SourceAccount(
        source=source,
        subject=_subject(claims, paths.subject),
        uid=_number(claims, "uid_claim", paths.uid),
        gid=_number(claims, "gid_claim", paths.gid),
        groups=_groups(claims, paths),
        full_name=_text(claims, "full_name_claim", paths.full_name),
        email=_text(claims, "email_claim", paths.email),
        shell=_text(claims, "shell_claim", paths.shell),
    )


def clean_text(text: str) -> str:
    """Return text without what UTF-8 cannot hold: JSON may have halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _subject(claims: Mapping[str, Any], path: str) -> str:
    value = find_claim(claims, path)
    if type(value) is int:
        value = _decimal(value)
    if not isinstance(value, str) or not value:
        raise IdentityError(f"claim {path!r} (subject_claim) holds no subject")
    if len(value) > _MAX_SUBJECT_LENGTH or not value.isprintable():
        raise IdentityError(
            f"claim {path!r} (subject_claim) is no printable text of up to {_MAX_SUBJECT_LENGTH} "
            "characters"
        )
    return value


def _number(claims: Mapping[str, Any], setting: str, path: str) -> int | None:
    if not path:
        return None
    value = find_claim(claims, path)
    if value is None:
        raise IdentityError(f"there is no claim {path!r} ({setting})")
    return _parse_number(value, f"claim {path!r} ({setting})")


def _parse_number(value: object, what: str) -> int:
    # bool is an int to isinstance, and True would become uid 1.
    # Longer ones are no id anyway, and cannot even be printed when they are very long.
    if type(value) is int and abs(value) < 10**_MAX_DIGITS:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        return int(value)
    found = repr(value[:_MAX_QUOTED]) if isinstance(value, str) else f"a {type(value).__name__}"
    raise IdentityError(f"{what} is {found}, not a number")


def _groups(claims: Mapping[str, Any], paths: ClaimPaths) -> tuple[SourceGroup, ...]:
    value = find_claim(claims, paths.groups) if paths.groups else None
    if value is None:
        return ()
    what = f"claim {paths.groups!r} (groups_claim)"
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise IdentityError(f"{what} is a {type(value).__name__}, not a list of groups")
    groups: dict[str, SourceGroup] = {}
    for member in value:
        group = _group(member, paths, what)
        if group.subject:
            groups.setdefault(group.subject, group)
    return tuple(groups.values())


def _group(member: object, paths: ClaimPaths, what: str) -> SourceGroup:
    if isinstance(member, str):
        name = clean_text(member)
        return SourceGroup(name=name, subject=name)
    found = find_claim(member, paths.group_name)
    if not isinstance(found, str):
        raise IdentityError(f"{what} holds a group without a name: a {type(member).__name__}")
    name = clean_text(found)
    number = find_claim(member, paths.group_gid) if paths.group_gid else None
    if number is None:
        return SourceGroup(name=name, subject=name)
    try:
        return SourceGroup(name=name, subject=name, gid=_parse_number(number, "its gid"))
    except IdentityError as error:
        return SourceGroup(name=name, subject=name, problem=str(error))


def _text(claims: Mapping[str, Any], setting: str, path: str) -> str:
    value = find_claim(claims, path) if path else None
    if value is None:
        return ""
    if not isinstance(value, str):
        raise IdentityError(f"claim {path!r} ({setting}) is a {type(value).__name__}, not a text")
    return clean_text(value)


def _decimal(number: int) -> str:
    # str() refuses very long ones with an error of its own.
    return str(number) if abs(number) < 10**_MAX_SUBJECT_LENGTH else ""


def _is_same(one: object, other: object) -> bool:
    # True equals 1, and 1 equals 1.0.
    return type(one) is type(other) and one == other
