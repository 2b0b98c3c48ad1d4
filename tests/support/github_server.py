"""GitHub as its documentation describes it: the OAuth web flow and the REST API, over HTTP.

Sources: docs.github.com, "Authorizing OAuth apps", "Rate limits for the REST API", "Using
pagination in the REST API", and the pages of each endpoint.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

CLIENT_ID = "the-hub"
CLIENT_SECRET = "the-secret-of-the-hub"


@dataclass
class Account:
    """One of GitHub's users; ``organisations`` are logins, ``teams`` are (organisation, slug)."""

    id: int
    login: str
    name: str | None = None
    email: str | None = None
    emails: list[dict[str, Any]] = field(default_factory=list)
    organisations: list[str] = field(default_factory=list)
    teams: list[tuple[str, str]] = field(default_factory=list)
    is_suspended: bool = False

    def document(self) -> dict[str, Any]:
        return {
            "login": self.login,
            "id": self.id,
            "type": "User",
            "name": self.name,
            "email": self.email,
        }


class GitHubServer:
    """A running server; tests change its accounts and its moods while it runs."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        #: Organisation's login to its id, and (organisation, slug) to a team's.
        self.organisations: dict[str, int] = {}
        self.teams: dict[tuple[str, str], int] = {}
        #: Organisations that let no OAuth application see them unless it was approved.
        self.restricted: set[str] = set()
        #: Who consents at the authorisation page, None for nobody.
        self.visitor: str | None = None
        #: Prefix of a path to what is answered in place of the truth: status, headers, body.
        self.moods: dict[str, tuple[int, dict[str, str], Any]] = {}
        self.delay_seconds = 0.0
        self.expiring = False  # a GitHub App whose tokens expire
        self.granted: str | None = None  # scopes, where they differ from what was asked for
        self.requests: list[str] = []
        self.secrets: set[str] = {CLIENT_SECRET}
        self._codes: dict[str, dict[str, Any]] = {}
        self._tokens: dict[str, tuple[str, frozenset[str]]] = {}
        self._refresh: dict[str, tuple[str, frozenset[str]]] = {}
        owner = self

        class Handler(_Handler):
            server_state = owner

        self._http = _Http(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def add(self, account: Account) -> Account:
        self.accounts[account.login] = account
        return account

    def revoke(self) -> None:
        """Revoke every access token, as GitHub does when the user withdraws the consent."""
        self._tokens.clear()

    def forget_refresh_tokens(self) -> None:
        self._refresh.clear()

    def rate_limited(self, path: str, *, secondary: bool = False, status: int = 403) -> None:
        if secondary:
            headers = {"Retry-After": "60", "X-RateLimit-Remaining": "4321"}
            message = "You have exceeded a secondary rate limit. Please wait a few minutes."
        else:
            headers = {
                "X-RateLimit-Limit": "5000",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": str(int(time.time()) + 600),
            }
            message = "API rate limit exceeded for user ID 583231."
        self.moods[path] = (status, headers, {"message": message})


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # a whole class connects at once


class _Handler(BaseHTTPRequestHandler):
    server_state: GitHubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing: the requests are in `GitHubServer.requests`."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        state = self.server_state
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        state.requests.append(f"{method} {parts.path}")
        if state.delay_seconds:
            time.sleep(state.delay_seconds)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        form = {key: values[0] for key, values in parse_qs(body).items()}
        for prefix, (status, headers, answer) in state.moods.items():
            if parts.path.startswith(prefix):
                self._send(status, answer, headers)
                return
        if parts.path == "/login/oauth/authorize":
            self._authorize(query)
        elif parts.path == "/login/oauth/access_token" and method == "POST":
            self._send(200, self._exchange(form))
        elif parts.path.startswith("/api/v3/"):
            self._rest(parts.path.removeprefix("/api/v3"), query)
        else:
            self._send(404, {"message": "Not Found"})

    def _authorize(self, query: dict[str, str]) -> None:
        state = self.server_state
        assert query["client_id"] == CLIENT_ID
        assert query["response_type"] == "code"
        if state.visitor is None:
            answer = {
                "error": "access_denied",
                "error_description": "The user has denied your application access.",
            }
        else:
            code = self._secret()
            state._codes[code] = {
                "login": state.visitor,
                "challenge": query["code_challenge"],
                "redirect_uri": query["redirect_uri"],
                "scope": query.get("scope", ""),
            }
            assert query["code_challenge_method"] == "S256"
            answer = {"code": code}
        location = query["redirect_uri"] + "?" + urlencode(answer | {"state": query["state"]})
        self._send(302, b"", {"Location": location})

    def _exchange(self, form: dict[str, str]) -> dict[str, Any]:
        """Answer with status 200, as GitHub does for refusals too."""
        state = self.server_state
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return _refusal("incorrect_client_credentials")
        if form["grant_type"] == "refresh_token":
            found = state._refresh.pop(form["refresh_token"], None)
            return self._token(*found) if found else _refusal("bad_refresh_token")
        code = state._codes.pop(form["code"], None)
        if code is None:
            return _refusal("bad_verification_code")
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != code["challenge"]:
            return _refusal("bad_verification_code")
        if form["redirect_uri"] != code["redirect_uri"]:
            return _refusal("redirect_uri_mismatch")
        granted = code["scope"] if state.granted is None else state.granted
        return self._token(code["login"], frozenset(granted.split()))

    def _token(self, login: str, scopes: frozenset[str]) -> dict[str, Any]:
        state = self.server_state
        token = self._secret("gho_")
        state._tokens[token] = (login, scopes)
        answer = {
            "access_token": token,
            "token_type": "bearer",
            # Separated by commas, which OAuth would not.
            "scope": ",".join(sorted(scopes)),
        }
        if state.expiring:
            answer["refresh_token"] = self._secret("ghr_")
            answer["expires_in"] = 28800
            state._refresh[answer["refresh_token"]] = (login, scopes)
        return answer

    def _rest(self, path: str, query: dict[str, str]) -> None:
        state = self.server_state
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() not in ("bearer", "token") or token not in state._tokens:
            self._send(401, {"message": "Bad credentials", "status": "401"})
            return
        login, scopes = state._tokens[token]
        account = state.accounts.get(login)
        if account is None:
            self._send(401, {"message": "Bad credentials", "status": "401"})
        elif account.is_suspended:
            self._send(403, {"message": "Sorry. Your account was suspended."})
        elif path == "/user":
            self._send(200, account.document())
        elif path == "/user/emails":
            if scopes & {"user", "user:email"}:
                self._page(account.emails, path, query)
            else:
                self._send(404, {"message": "Not Found"})
        elif path in ("/user/orgs", "/user/teams"):
            if not scopes & {"read:org", "user"}:
                self._send(403, {"message": "You need at least read:org scope"})
            else:
                self._page(self._memberships(account, path), path, query)
        elif path.startswith("/orgs/"):
            self._membership(path.split("/")[2:], account)
        else:
            self._send(404, {"message": "Not Found"})

    def _memberships(self, account: Account, path: str) -> list[dict[str, Any]]:
        state = self.server_state
        if path == "/user/orgs":
            return [
                {"login": name, "id": state.organisations[name], "description": ""}
                for name in account.organisations
                if name not in state.restricted
            ]
        return [
            {
                "id": state.teams[name, slug],
                "slug": slug,
                "name": slug.title(),
                "organization": {"login": name, "id": state.organisations[name]},
            }
            for name, slug in account.teams
            if name not in state.restricted
        ]

    def _membership(self, parts: list[str], account: Account) -> None:
        organisation, login = parts[0], parts[-1]
        if organisation in self.server_state.restricted:
            message = f"the `{organisation}` organization has enabled OAuth App access restrictions"
            self._send(403, {"message": message})
            return
        is_member = login == account.login and (
            (organisation, parts[2]) in account.teams
            if "teams" in parts
            else organisation in account.organisations
        )
        self._send(204 if is_member else 404, b"")

    def _page(self, items: list[Any], path: str, query: dict[str, str]) -> None:
        size, number = int(query.get("per_page", 30)), int(query.get("page", 1))
        assert size <= 100
        links = []
        for name, wanted in (("prev", number - 1), ("next", number + 1)):
            if wanted >= 1 and (wanted - 1) * size < len(items):
                address = f"{self.server_state.url}/api/v3{path}?per_page={size}&page={wanted}"
                links.append(f'<{address}>; rel="{name}"')
        headers = {"Link": ", ".join(links)} if links else {}
        self._send(200, items[(number - 1) * size : number * size], headers)

    def _secret(self, prefix: str = "") -> str:
        secret = prefix + secrets.token_hex(20)
        self.server_state.secrets.add(secret)
        return secret

    def _send(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)


def _refusal(error: str) -> dict[str, Any]:
    return {"error": error, "error_description": f"It is {error}.", "error_uri": "https://x"}
