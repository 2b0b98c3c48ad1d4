"""What of CILogon's claims is not as other providers'."""

from __future__ import annotations

from jhk8s_ext.errors import IdentityError

_MAX_DIGITS = 10


def name_from_eppn(eppn: object, home_domain: str) -> str:
    """Return the username for an eduPersonPrincipalName.

    Parameters
    ----------
    eppn
        As ``ada@example.edu``.
    home_domain
        The domain whose accounts have names without a domain.

    Raises
    ------
    IdentityError
        If it is no such name.
    """
    if not isinstance(eppn, str):
        raise IdentityError("CILogon tells no eppn of the account")
    name, at, domain = eppn.rpartition("@")
    if not (name and at and domain):
        raise IdentityError(f"eppn {eppn[:100]!r} is no name and domain")
    return name if domain.lower() == home_domain.lower() else f"{name}.{domain.lower()}"


def uid_from_subject(subject: str, prefix: str) -> int:
    """Return the number at the end of a subject.

    Raises
    ------
    IdentityError
        If it does not begin as it should, or does not end in a number.
    """
    text = subject[len(prefix) :] if subject.startswith(prefix) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise IdentityError(
            f"sub {subject[:200]!r} is not uid_subject_prefix, {prefix!r}, and a number"
        )
    return int(text)
