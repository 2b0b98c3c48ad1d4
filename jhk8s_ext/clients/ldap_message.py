"""LDAP messages as bytes: what RFC 4511 defines, as far as logins need it, without any I/O.

ldap3 builds each request three times over and blocks without a deadline for the whole; here a
message costs microseconds, so that many logins at once leave the hub's event loop alone. Filters
are parsed by ldap3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ldap3.core.exceptions import LDAPException, LDAPInvalidFilterError
from ldap3.operation.search import (
    AND,
    MATCH_APPROX,
    MATCH_EQUAL,
    MATCH_EXTENSIBLE,
    MATCH_GREATER_OR_EQUAL,
    MATCH_LESS_OR_EQUAL,
    MATCH_PRESENT,
    NOT,
    OR,
    parse_filter,
)
from ldap3.protocol.convert import prepare_filter_for_sending
from ldap3.protocol.sasl.sasl import sasl_prep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BASE, SUBTREE = 0, 2

BIND_RESPONSE, SEARCH_ENTRY, SEARCH_DONE, SEARCH_REFERENCE, EXTENDED_RESPONSE = (
    0x61,
    0x64,
    0x65,
    0x73,
    0x78,
)

#: Above this a length is a mistake, or an attempt to fill the hub's memory.
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_MAX_LENGTH_OCTETS = 4
_LONG_FORM = 0x80

_PAGED_RESULTS = b"1.2.840.113556.1.4.319"  # RFC 2696
_START_TLS = b"1.3.6.1.4.1.1466.20037"  # RFC 4511 section 4.14
_DEREFERENCE_ALWAYS = 3

_COMPARISONS = {
    MATCH_EQUAL: 0xA3,
    MATCH_GREATER_OR_EQUAL: 0xA5,
    MATCH_LESS_OR_EQUAL: 0xA6,
    MATCH_APPROX: 0xA8,
}


class MessageError(ValueError):
    """The bytes are no LDAP message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An answer of a directory.

    Parameters
    ----------
    id
        Of the request; 0 for what nobody asked for.
    kind
        Tag of the operation.
    body
        Its content, not yet decoded.
    cookie
        Of the paged results, empty at the end and where there are no pages.
    """

    id: int
    kind: int
    body: bytes = field(repr=False)
    cookie: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How an operation ended.

    Parameters
    ----------
    code
        RFC 4511 appendix A.
    referrals
        URLs that the directory points to instead.
    """

    code: int
    referrals: tuple[str, ...]


def bind_request(dn: str, password: str) -> bytes:
    """Return a simple bind, anonymous without a DN."""
    return _tlv(0x60, _integer(3) + _octets(dn.encode()) + _tlv(0x80, _prepare(password)))


def _prepare(password: str) -> bytes:
    """Bring a password into the form of RFC 4513 section 5.1.3, where it has one.

    One of which nothing would be left is sent as it is: a bind without a password succeeds.
    """
    try:
        prepared: str = sasl_prep(password)  # type: ignore[no-untyped-call]
    except (LDAPException, ValueError, IndexError):
        prepared = ""
    return (prepared or password).encode()


def start_tls_request() -> bytes:
    """Return the request to go on in TLS."""
    return _tlv(0x77, _tlv(0x80, _START_TLS))


def unbind_request() -> bytes:
    """Return the good-bye, which has no answer."""
    return b"\x42\x00"


def search_request(base: str, scope: int, search_filter: bytes, attributes: Sequence[str]) -> bytes:
    """Return a search.

    Parameters
    ----------
    base
        DN.
    scope
        `BASE` or `SUBTREE`.
    search_filter
        As `encode_filter` returns it.
    attributes
        What to read; none for the DN only.
    """
    names = attributes or ["1.1"]
    return _tlv(
        0x63,
        _octets(base.encode())
        + _integer(scope, 0x0A)
        + _integer(_DEREFERENCE_ALWAYS, 0x0A)
        + _integer(0)
        + _integer(0)
        + _tlv(0x01, b"\x00")
        + search_filter
        + _tlv(0x30, b"".join(_octets(name.encode()) for name in names)),
    )


def request_message(
    message_id: int, operation: bytes, page_size: int = 0, cookie: bytes = b""
) -> bytes:
    """Return a whole message, asking for pages of results where they have a size."""
    controls = b""
    if page_size:
        value = _tlv(0x30, _integer(page_size) + _octets(cookie))
        controls = _tlv(0xA0, _tlv(0x30, _octets(_PAGED_RESULTS) + _octets(value)))
    return _tlv(0x30, _integer(message_id) + operation + controls)


def encode_filter(text: str) -> bytes:
    """Return a filter in its form for the wire.

    Raises
    ------
    LDAPInvalidFilterError
        If it cannot be parsed.
    """
    try:
        [root] = _parse_filter(text).elements
        return _filter(root)
    except LDAPInvalidFilterError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # What ldap3's parser stumbles over.
        raise LDAPInvalidFilterError("malformed filter") from error


def _parse_filter(text: str) -> Any:
    return parse_filter(  # type: ignore[no-untyped-call]
        text, schema=None, auto_escape=False, auto_encode=False, validator=None, check_names=False
    )


def _filter(node: Any) -> bytes:
    if node.tag in (AND, OR):
        return _tlv(0xA0 if node.tag == AND else 0xA1, b"".join(map(_filter, node.elements)))
    if node.tag == NOT:
        [element] = node.elements
        return _tlv(0xA2, _filter(element))
    assertion = node.assertion
    name = (assertion["attr"] or "").encode()
    if not name and node.tag != MATCH_EXTENSIBLE:
        raise LDAPInvalidFilterError("a filter without an attribute")
    if node.tag == MATCH_PRESENT:
        return _tlv(0x87, name)
    if node.tag in _COMPARISONS:
        return _tlv(_COMPARISONS[node.tag], _octets(name) + _octets(_value(assertion["value"])))
    if node.tag == MATCH_EXTENSIBLE:
        rule = assertion["matchingRule"]
        return _tlv(
            0xA9,
            (_tlv(0x81, rule.encode()) if rule else b"")
            + (_tlv(0x82, name) if name else b"")
            + _tlv(0x83, _value(assertion["value"]))
            + (_tlv(0x84, b"\xff") if assertion["dnAttributes"] else b""),
        )
    parts = b"".join(
        _tlv(tag, _value(value))
        for tag, values in (
            (0x80, [assertion.get("initial")]),
            (0x81, assertion.get("any", [])),
            (0x82, [assertion.get("final")]),
        )
        for value in values
        if value
    )
    return _tlv(0xA4, _octets(name) + _tlv(0x30, parts))


def _value(text: str) -> bytes:
    return bytes(prepare_filter_for_sending(text))  # type: ignore[no-untyped-call]


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < _LONG_FORM:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM | len(octets))) + octets + content


def _octets(content: bytes) -> bytes:
    return _tlv(0x04, content)


def _integer(value: int, tag: int = 0x02) -> bytes:
    return _tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def message_length(start: bytes | bytearray) -> int | None:
    """Return how long the message is that starts like this, None where that is not yet known.

    Raises
    ------
    MessageError
        If no message starts like this.
    """
    if start and start[0] != 0x30:  # noqa: PLR2004 - SEQUENCE
        raise MessageError("no LDAP message")
    header = _header(start, 0)
    if header is None:
        return None
    at, length = header
    if length > _MAX_MESSAGE_BYTES:
        raise MessageError(f"a message of {length} bytes")
    return at + length


def _header(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Return where the content starts and its length; None where the header is cut short."""
    if len(data) < at + 2:
        return None
    first = data[at + 1]
    if first < _LONG_FORM:
        return at + 2, first
    count = first - _LONG_FORM
    if not 0 < count <= _MAX_LENGTH_OCTETS:
        raise MessageError("a length that LDAP does not have")
    if len(data) < at + 2 + count:
        return None
    return at + 2 + count, int.from_bytes(data[at + 2 : at + 2 + count], "big")


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element."""
    at = 0
    while at < len(data):
        header = _header(data, at)
        if header is None or sum(header) > len(data):
            raise MessageError("cut short")
        start, length = header
        yield data[at], data[start : start + length]
        at = start + length


def _list(data: bytes, *tags: int) -> list[bytes]:
    """Return the first elements, which have to have these tags."""
    parts = list(_parts(data))
    if [tag for tag, _ in parts[: len(tags)]] != list(tags):
        raise MessageError("unexpected elements")
    return [content for _, content in parts]


def decode_message(data: bytes) -> Message:
    """Decode the envelope of one whole message.

    Raises
    ------
    MessageError
        If it is none.
    """
    [(_, content)] = list(_parts(data))
    parts = list(_parts(content))
    if len(parts) < 2 or parts[0][0] != 0x02:  # noqa: PLR2004 - id and operation; INTEGER
        raise MessageError("no LDAP message")
    kind, body = parts[1]
    cookie = b""
    for tag, controls in parts[2:]:
        if tag == 0xA0:  # noqa: PLR2004 - controls
            for _, control in _parts(controls):
                cookie = _cookie(control) or cookie
    return Message(id=int.from_bytes(parts[0][1], "big"), kind=kind, body=body, cookie=cookie)


def _cookie(control: bytes) -> bytes:
    name, *rest = _list(control, 0x04)
    if name != _PAGED_RESULTS or not rest:
        return b""
    [value] = _list(rest[-1], 0x30)
    return _list(value, 0x02, 0x04)[1]


def decode_result(body: bytes) -> Result:
    """Decode what ends an operation.

    Raises
    ------
    MessageError
        If it is none.
    """
    parts = list(_parts(body))
    code, *_ = _list(body, 0x0A, 0x04, 0x04)
    referrals = (content for tag, content in parts[3:] if tag == 0xA3)  # noqa: PLR2004 - referral
    return Result(
        code=int.from_bytes(code, "big"),
        referrals=tuple(uri for content in referrals for uri in decode_references(content)),
    )


def decode_references(body: bytes) -> list[str]:
    """Decode a list of URLs.

    Raises
    ------
    MessageError
        If it is none.
    """
    return [_text(uri) for _, uri in _parts(body)]


def decode_entry(body: bytes) -> tuple[str, dict[str, list[bytes]]]:
    """Decode an entry into its DN and attributes.

    Raises
    ------
    MessageError
        If it is none.
    """
    dn, content, *_ = _list(body, 0x04, 0x30)
    attributes: dict[str, list[bytes]] = {}
    for _, attribute in _parts(content):
        name, values, *_ = _list(attribute, 0x04, 0x31)
        attributes[_text(name)] = [value for _, value in _parts(values)]
    return _text(dn), attributes


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
