"""The demo's LDAP directory, a process of its own, which takes FILE and PORT.

The file is JSON: ``tree``, as `jhk8s_ext.cli.demo.accounts.build_tree` returns it, and
``passwords`` by DN, which are no part of the tree.
"""

from __future__ import annotations

import hmac
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldaptor.inmemory import ReadOnlyInMemoryLDAPEntry
from ldaptor.interfaces import IConnectedLDAPEntry
from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap import ldaperrors
from ldaptor.protocols.ldap.ldapserver import LDAPServer
from twisted.internet import reactor
from twisted.internet.protocol import ServerFactory
from twisted.python.components import registerAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What it answers; ldaptor's server would let anybody change the tree.
_ANSWERED = {"LDAPBindRequest", "LDAPUnbindRequest", "LDAPSearchRequest"}


class Server(LDAPServer):  # type: ignore[misc] # ldaptor has no types
    """A read-only directory that shows nothing before a bind."""

    def handle(self, msg: Any) -> None:
        """Answer a request, or end the connection."""
        if type(msg.value).__name__ in _ANSWERED:
            super().handle(msg)
        else:
            self.transport.loseConnection()

    def handle_LDAPBindRequest(self, request: Any, controls: Any, reply: Any) -> Any:  # noqa: ARG002, N802 - upstream's signature
        """Check a password; an anonymous bind shows nothing."""
        self.boundUser = None
        dn = request.dn.decode(errors="replace")
        password = self.factory.passwords.get(dn.lower())
        if request.version != 3 or password is None:  # noqa: PLR2004 - LDAPv3
            raise ldaperrors.LDAPInvalidCredentials
        if not hmac.compare_digest(request.auth, password.encode()):
            raise ldaperrors.LDAPInvalidCredentials
        self.boundUser = dn
        return pureldap.LDAPBindResponse(resultCode=0)

    def handle_LDAPSearchRequest(self, request: Any, controls: Any, reply: Any) -> Any:  # noqa: N802 - upstream's name
        """Search, for who has a password."""
        if self.boundUser is None and request.baseObject != b"":
            raise ldaperrors.LDAPInsufficientAccessRights
        return super().handle_LDAPSearchRequest(request, controls, reply)


class Factory(ServerFactory):  # type: ignore[misc] # Twisted is not followed
    """Makes a `Server` for each connection."""

    protocol = Server

    def __init__(self, tree: Any, passwords: Mapping[str, str]) -> None:
        self.tree = tree
        self.passwords = {dn.lower(): password for dn, password in passwords.items()}


def build_entries(tree: Sequence[Mapping[str, Any]]) -> Any:
    """Return the entry at the top."""
    entries: dict[str, Any] = {}
    for entry in tree:
        dn, attributes = entry["dn"], entry["attributes"]
        rdn, _, parent = dn.partition(",")
        if parent in entries:
            entries[dn] = entries[parent].addChild(rdn, attributes)
        else:
            entries[dn] = ReadOnlyInMemoryLDAPEntry(dn, attributes)
    return entries[tree[0]["dn"]]


def main() -> None:
    """Serve until SIGTERM."""
    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    registerAdapter(lambda factory: factory.tree, Factory, IConnectedLDAPEntry)
    factory = Factory(build_entries(document["tree"]), document["passwords"])
    loop: Any = reactor
    loop.listenTCP(int(sys.argv[2]), factory, interface="127.0.0.1")
    loop.run()


if __name__ == "__main__":
    main()
