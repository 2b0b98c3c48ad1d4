"""What the answers of an OAuth provider mean, told without what is secret in them."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from tornado.httpclient import HTTPClientError

from jhk8s_ext.errors import ConfigError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Status with which tornado stands for an answer that never came (its own time limits included).
NO_ANSWER = 599

#: RFC 6749, 5.2: an error is a word. What is none is not repeated.
_ERROR_WORD = re.compile(r"[a-z_]{1,40}")

#: Errors of the token endpoint that the user mends by logging in again (RFC 6749, 5.2; GitHub's).
_EXPIRED = frozenset({"invalid_grant", "bad_verification_code", "bad_refresh_token"})

#: Errors that pass.
_PASSING = frozenset({"temporarily_unavailable", "server_error", "slow_down"})

#: One link of RFC 8288: its target and its parameters.
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_NEXT = re.compile(r";\s*rel\s*=\s*(?:\"(?:[^\"]*\s)?next(?:\s[^\"]*)?\"|next\b)", re.IGNORECASE)


class TokenRefusedError(Exception):
    """The provider no longer takes a token, or takes no longer what a token is had for."""


def plain_url(url: str) -> str:
    """Return a URL without its query, which may hold a token, and without a password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def parse_body(body: bytes | None, url: str) -> Any:
    """Parse the body of an answer.

    Raises
    ------
    UpstreamError
        If it is not JSON.
    """
    try:
        return json.loads((body or b"null").decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        # From None: the document may hold tokens.
        raise UpstreamError(f"{plain_url(url)} answered something that is not JSON") from None


def document_of(error: HTTPClientError) -> dict[str, Any]:
    """Return the JSON object in the body of a refusal, empty where there is none."""
    body = error.response.body if error.response is not None else None
    try:
        document = json.loads((body or b"").decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def is_rate_limit(status: int, headers: Mapping[str, str], document: Mapping[str, Any]) -> bool:
    """Tell "too many requests" from a refusal.

    GitHub answers both with 403. Its documentation ("Rate limits for the REST API") tells a
    primary limit by ``x-ratelimit-remaining``, a secondary one by ``retry-after`` or the message.
    """
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    message = document.get("message")
    return status == HTTPStatus.FORBIDDEN and (
        headers.get("Retry-After") is not None
        or headers.get("X-RateLimit-Remaining") == "0"
        or (isinstance(message, str) and ("rate limit" in message or "abuse" in message))
    )


def is_refusal(error: HTTPClientError) -> bool:
    """Say whether a provider refuses a token: not whether it is down, or wants us to wait."""
    if error.code not in (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
    ):
        return False
    headers = error.response.headers if error.response is not None else {}
    return not is_rate_limit(error.code, headers, document_of(error))


def describe(error: HTTPClientError) -> str:
    """Return one sentence on an answer that is none of the expected ones."""
    headers = error.response.headers if error.response is not None else {}
    where = plain_url(error.response.request.url) if error.response is not None else "the provider"
    if is_rate_limit(error.code, headers, document_of(error)):
        seconds = headers.get("Retry-After", "")
        wait = f", and asks to wait {seconds} seconds" if seconds.isdecimal() else ""
        return f"{where} answered {error.code}: it limits the rate of requests{wait}"
    return f"{where} answered {error.code}"


def no_answer(url: str) -> str:
    """Return one sentence on an answer that never came."""
    return f"{plain_url(url)} gave no answer in time, or ended the connection"


@contextmanager
def network_errors(url: str) -> Iterator[None]:
    """Turn what the network does into `UpstreamError`; answers with a status pass through.

    Raises
    ------
    UpstreamError
        If there was no answer.
    """
    try:
        yield
    except HTTPClientError as error:
        if error.code == NO_ANSWER:
            raise UpstreamError(no_answer(url)) from None
        raise
    except (OSError, asyncio.TimeoutError, ValueError) as error:
        raise UpstreamError(
            f"{plain_url(url)} cannot be asked ({type(error).__name__}): it is down, or its "
            "certificate is not trusted"
        ) from None


def token_error(document: Mapping[str, Any], status: int, url: str, setting: str) -> Exception:
    """Return the exception for an answer of the token endpoint that holds no token.

    Parameters
    ----------
    document
        The answer; its text is not repeated, as it may hold what was sent.
    status
        HTTP's.
    url
        Of the endpoint.
    setting
        Full path of ``client_id``.
    """
    error = document.get("error")
    word = error if isinstance(error, str) and _ERROR_WORD.fullmatch(error) else ""
    where = plain_url(url)
    if word in _EXPIRED:
        return TokenRefusedError(f"{where} answered {word}")
    if word in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UpstreamError(f"{where} answered {status} {word}".rstrip())
    if word or status == HTTPStatus.UNAUTHORIZED:
        return ConfigError(
            setting,
            f"{where} refuses the hub itself ({status} {word}): compare client_id, client_secret, "
            "scope and the callback URL with what is registered there",
        )
    return UpstreamError(f"{where} answered {status} and no access token")


def next_page(link: str, url: str) -> str:
    """Return the address of the next page, empty on the last one.

    Parameters
    ----------
    link
        The ``Link`` header of a page (RFC 8288), empty where there is none.
    url
        Of that page.

    Raises
    ------
    UpstreamError
        If the next page is at another host: tokens are not sent there.
    """
    for target, parameters in _LINK.findall(link):
        if _NEXT.search(parameters):
            address = str(urljoin(url, target))
            if urlsplit(address)[:2] != urlsplit(url)[:2]:
                raise UpstreamError(f"{plain_url(url)} continues at another host")
            return address
    return ""
