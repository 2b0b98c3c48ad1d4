"""A token server for docker-registry: the distribution project's token protocol, with real tokens.

A registry that has its certificate (``auth.token.rootcertbundle``) trusts what it signs.
"""

from __future__ import annotations

import base64
import fnmatch
import json
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.support.http_service import HTTPService

if TYPE_CHECKING:
    from pathlib import Path

#: For which docker-registry takes a token that has ended.
_LEEWAY_SECONDS = 60


@dataclass(frozen=True)
class Account:
    """Who may have tokens: for the repositories that match, and what may be done there."""

    password: str
    repositories: str = "*"
    actions: tuple[str, ...] = ("pull", "push", "delete")
    refresh_token: str = ""


class TokenServer(HTTPService):
    """Gives tokens; `realm` is where.

    Parameters
    ----------
    folder
        For its certificate.
    accounts
        Username to account.
    anonymous_pull
        Whether anybody may pull.
    lifetime_seconds
        For which a token is good, to the second.
    told_seconds
        For which it says so; None for the truth.
    """

    service = "registry, of the tests"
    issuer = "token server of the tests"

    def __init__(
        self,
        folder: Path,
        accounts,
        *,
        anonymous_pull=False,
        lifetime_seconds=300,
        told_seconds=None,
    ):
        super().__init__()
        self.accounts = accounts
        self.anonymous_pull = anonymous_pull
        self.lifetime_seconds, self.told_seconds = lifetime_seconds, told_seconds
        #: Username, None for nobody, and scope of each token.
        self.issued: list[tuple[str | None, str]] = []
        self.bundle = folder / "token-server.crt"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = _certify(self._key)
        self.bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def realm(self) -> str:
        return f"{self.url}/token"

    def respond(self, handler, request):
        is_form = request.method == "POST"
        query = request.body.decode() if is_form else urlsplit(request.path).query
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        username = self._user_of_form(asked) if is_form else self._user_of(request.headers)
        if username is _UNKNOWN or asked.get("service") != self.service:
            handler.send(401, {"Content-Type": "application/json"}, b'{"details": "who is that?"}')
            return
        token = self._issue(username, asked.get("scope", ""))
        told = self.lifetime_seconds if self.told_seconds is None else self.told_seconds
        now = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        key = "access_token" if is_form else "token"
        document = {key: token, "expires_in": told, "issued_at": now}
        handler.send(200, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _user_of(self, headers):
        scheme, _, value = headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        username, _, password = base64.b64decode(value).decode().partition(":")
        account = self.accounts.get(username)
        return username if account is not None and account.password == password else _UNKNOWN

    def _user_of_form(self, asked):
        for username, account in self.accounts.items():
            if account.refresh_token and account.refresh_token == asked.get("refresh_token"):
                return username if asked.get("grant_type") == "refresh_token" else _UNKNOWN
        return _UNKNOWN

    def _issue(self, username, scope) -> str:
        self.issued.append((username, scope))
        access = []
        for item in scope.split():
            kind, _, rest = item.partition(":")
            name, _, actions = rest.rpartition(":")
            may = self._may(username, name)
            given = [action for action in actions.split(",") if action in may]
            access.append({"type": kind, "name": name, "actions": given})
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": self.service,
            "sub": username or "",
            "nbf": now - 3600,
            "iat": now,
            "exp": now + self.lifetime_seconds - _LEEWAY_SECONDS,
            "access": access,
        }
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        signed = f"{_encode(json.dumps(header))}.{_encode(json.dumps(claims))}"
        pair = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encode(b''.join(number.to_bytes(32, 'big') for number in pair))}"

    def _may(self, username, name):
        if username is None:
            return ("pull",) if self.anonymous_pull else ()
        account = self.accounts[username]
        return account.actions if fnmatch.fnmatchcase(name, account.repositories) else ()


#: Somebody who says a name, but not the right password.
_UNKNOWN = object()


def _encode(part: str | bytes) -> str:
    data = part.encode() if isinstance(part, str) else part
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _certify(key) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "token server")])
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
