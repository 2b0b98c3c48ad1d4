"""A directory that speaks LDAP's protocol, for what slapd cannot do.

Answers are encoded by ldap3's ASN.1 definitions, not by the code under test. (They fail to decode
filters with several parts, ldap3's own too.) It knows
the in-chain rule, gives values in ranges, and cuts off answers of more than one page, as Active
Directory does.
"""

from __future__ import annotations

import contextlib
import socketserver
import threading

from ldap3.protocol import rfc4511
from ldap3.protocol.rfc2696 import RealSearchControlValue
from ldap3.strategy.base import BaseStrategy
from pyasn1.codec.ber import decoder, encoder

_IN_CHAIN = "1.2.840.113556.1.4.1941"
_PAGED = "1.2.840.113556.1.4.319"
_SIZE_LIMIT_EXCEEDED, _NO_SUCH_OBJECT, _INVALID_CREDENTIALS = 4, 32, 49


class ProtocolServer(socketserver.ThreadingTCPServer):
    """Answers from entries in memory.

    Parameters
    ----------
    entries
        DN to attributes to values.
    passwords
        DN to password.
    range_size
        How many values of an attribute come at once.
    max_page
        How many entries come at once.
    """

    allow_reuse_address = True

    def __init__(self, entries, passwords, *, range_size=1500, max_page=1000):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.entries, self.passwords = entries, passwords
        self.range_size, self.max_page = range_size, max_page
        self.port = self.server_address[1]
        self.searches = []


@contextlib.contextmanager
def serve(*args, **options):
    with ProtocolServer(*args, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(socketserver.BaseRequestHandler):
    def handle(self):
        data = b""
        while chunk := self.request.recv(65536):
            data += chunk
            while 0 <= (length := BaseStrategy.compute_ldap_message_size(data)) <= len(data):
                [(_, _, _, message)] = _decode(data[:length])
                data = data[length:]
                self._id = message[0][3]
                tag, request = message[1][2], message[1][3]
                controls = message[2][3] if len(message) > 2 else []
                if tag == 0:
                    self._bind(request)
                elif tag == 3:
                    self._search(request, controls)
                else:
                    return

    def _bind(self, request):
        dn, password = request[1][3].decode(), request[2][3].decode()
        good = not dn or self.server.passwords.get(dn.lower()) == password
        self._done("bindResponse", rfc4511.BindResponse(), 0 if good else _INVALID_CREDENTIALS)

    def _search(self, request, controls):
        base, scope, asked = request[0][3].decode().lower(), request[1][3], request[6]
        self.server.searches.append(asked)
        names = [name[3].decode() for name in request[7][3]]
        if scope == 0 and base not in {dn.lower() for dn in self.server.entries}:
            self._done("searchResDone", rfc4511.SearchResultDone(), _NO_SUCH_OBJECT)
            return
        found = [
            (dn, attributes)
            for dn, attributes in self.server.entries.items()
            if (dn.lower() == base if scope == 0 else dn.lower().endswith(base))
            and self._matches(asked, dn, attributes)
        ]
        size, offset, cookie = 0, 0, None
        for control in controls:
            if control[3][0][3].decode() == _PAGED:
                value, _ = decoder.decode(control[3][-1][3], asn1Spec=RealSearchControlValue())
                size, offset = int(value["size"]), int(bytes(value["cookie"]) or b"0")
        page = found[offset : offset + min(size or self.server.max_page, self.server.max_page)]
        for dn, attributes in page:
            self._entry(dn, attributes, names)
        more = len(found) > offset + len(page)
        code = _SIZE_LIMIT_EXCEEDED if more and not size else 0
        if size:
            cookie = str(offset + len(page)).encode() if more else b""
        self._done("searchResDone", rfc4511.SearchResultDone(), code, cookie)

    def _matches(self, node, dn, attributes):
        kind, part = node[2], node[3]
        if kind == 0:
            return all(self._matches(each, dn, attributes) for each in part)
        if kind == 1:
            return any(self._matches(each, dn, attributes) for each in part)
        if kind == 2:
            return not self._matches(part[0], dn, attributes)
        if kind == 7:
            return part.decode().lower() in {"objectclass", *map(str.lower, attributes)}
        if kind == 3:
            values = _values(attributes, part[0][3].decode())
            return part[1][3].lower() in [value.lower() for value in values]
        assert kind == 9, kind
        fields = {field[2]: field[3].decode() for field in part}
        assert fields[1] == _IN_CHAIN
        return fields[3].lower() in self._chain(dn, fields[2])

    def _chain(self, dn, attribute, known=None):
        known = set() if known is None else known
        for value in _values(self.server.entries.get(dn, {}), attribute):
            member = value.decode().lower()
            if member not in known:
                known.add(member)
                spelled = next((e for e in self.server.entries if e.lower() == member), "")
                self._chain(spelled, attribute, known)
        return known

    def _entry(self, dn, attributes, names):
        response = rfc4511.SearchResultEntry()
        response["object"] = dn
        index = 0
        for asked in names:
            name, _, option = asked.partition(";range=")
            values = _values(attributes, name)
            first = int(option.partition("-")[0]) if option else 0
            if not values:
                continue
            part = values[first : first + self.server.range_size]
            if option or len(part) < len(values):
                last = "*" if first + len(part) >= len(values) else first + len(part) - 1
                name = f"{name};range={first}-{last}"
            response["attributes"][index]["type"] = name
            for number, value in enumerate(part):
                response["attributes"][index]["vals"][number] = value
            index += 1
        self._send("searchResEntry", response)

    def _done(self, kind, response, code, cookie=None):
        response["resultCode"] = code
        response["matchedDN"] = ""
        response["diagnosticMessage"] = ""
        self._send(kind, response, cookie)

    def _send(self, kind, response, cookie=None):
        message = rfc4511.LDAPMessage()
        message["messageID"] = self._id
        message["protocolOp"][kind] = response
        if cookie is not None:
            value = RealSearchControlValue()
            value["size"], value["cookie"] = 0, cookie
            message["controls"][0]["controlType"] = _PAGED
            message["controls"][0]["criticality"] = False
            message["controls"][0]["controlValue"] = encoder.encode(value)
        self.request.sendall(encoder.encode(message))


def _values(attributes, name):
    return next((v for key, v in attributes.items() if key.lower() == name.lower()), [])


def _decode(data):
    """Return class, whether it is constructed, tag and value of each element."""
    elements = []
    while data:
        octet, length, start = data[0], data[1], 2
        if length > 127:
            start += length - 128
            length = int.from_bytes(data[2:start], "big")
        content, data = data[start : start + length], data[start + length :]
        value = content
        if octet & 0x20:
            value = _decode(content)
        elif octet in (0x02, 0x0A):
            value = int.from_bytes(content, "big")
        elements.append((octet >> 6, bool(octet & 0x20), octet & 0x1F, value))
    return elements
