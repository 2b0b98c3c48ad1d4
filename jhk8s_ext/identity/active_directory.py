"""What Active Directory keeps in binary: security identifiers and GUIDs, as text and numbers."""

from __future__ import annotations

import re
import struct
import uuid

from jhk8s_ext.errors import IdentityError

_HEADER_BYTES = 8
_GUID_BYTES = 16
_MAX_PARTS = 15
_SID = re.compile(r"S-1-[0-9]{1,15}(?:-[0-9]{1,10}){0,15}")

#: Attributes whose values are binary, and how they read.
_SID_ATTRIBUTES = frozenset({"objectsid", "sidhistory", "tokengroups"})
_GUID_ATTRIBUTES = frozenset({"objectguid"})


def value_text(attribute: str, value: bytes) -> str:
    """Return an attribute's value as text: SIDs as ``S-1-5-...``, GUIDs as Windows shows them."""
    name = attribute.lower()
    if name in _SID_ATTRIBUTES:
        return sid_text(value) or value.decode("utf-8", "replace")
    if name in _GUID_ATTRIBUTES and len(value) == _GUID_BYTES:
        # The first three fields are little-endian (MS-DTYP 2.3.4.2).
        return str(uuid.UUID(bytes_le=value))
    return value.decode("utf-8", "replace")


def sid_text(value: bytes) -> str:
    """Return a binary SID (MS-DTYP 2.4.2.2) as text, empty where it is none."""
    if len(value) < _HEADER_BYTES or value[0] != 1 or value[1] > _MAX_PARTS:
        return ""
    if len(value) != _HEADER_BYTES + 4 * value[1]:
        return ""
    authority = int.from_bytes(value[2:8], "big")
    parts = struct.unpack(f"<{value[1]}I", value[_HEADER_BYTES:])
    return "-".join(["S-1", str(authority), *map(str, parts)])


def sid_bytes(sid: str) -> bytes:
    """Return a SID in its binary form.

    Raises
    ------
    IdentityError
        If the text is no SID.
    """
    authority, parts = _parse_sid(sid)
    header = struct.pack(">BB6s", 1, len(parts), authority.to_bytes(6, "big"))
    return header + struct.pack(f"<{len(parts)}I", *parts)


def split_sid(sid: str) -> tuple[str, int]:
    """Return the domain's SID and the account's number in it (RID).

    Raises
    ------
    IdentityError
        If the text is no SID of an account.
    """
    authority, parts = _parse_sid(sid)
    if not parts:
        raise IdentityError(f"{sid!r} is not a security identifier (SID)")
    return "-".join(["S-1", str(authority), *map(str, parts[:-1])]), parts[-1]


def is_sid(sid: str) -> bool:
    """Say whether a text is a SID."""
    try:
        _parse_sid(sid)
    except IdentityError:
        return False
    return True


def _parse_sid(sid: str) -> tuple[int, list[int]]:
    if not _SID.fullmatch(sid):
        raise IdentityError(f"{sid!r} is not a security identifier (SID)")
    authority, *parts = map(int, sid.split("-")[2:])
    if authority >= 1 << 48 or any(part >= 1 << 32 for part in parts):
        raise IdentityError(f"{sid!r} is not a security identifier (SID)")
    return authority, parts
