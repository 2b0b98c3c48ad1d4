from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders

from jhk8s_ext.clients.oauth import (
    TokenRefusedError,
    is_rate_limit,
    network_errors,
    next_page,
    parse_body,
    plain_url,
    token_error,
)
from jhk8s_ext.errors import ConfigError, UpstreamError

PAGE = "https://api.example.edu/user/orgs?per_page=100"


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("", ""),
        (f'<{PAGE}&page=2>; rel="next"', f"{PAGE}&page=2"),
        (f'<{PAGE}&page=1>; rel="prev", <{PAGE}&page=3>; rel="next"', f"{PAGE}&page=3"),
        (f'<{PAGE}&page=2>; rel="last"', ""),
        (f'<{PAGE}&page=2>; title="a, b"; rel="last next"', f"{PAGE}&page=2"),
        (f"<{PAGE}&page=2>;rel=next", f"{PAGE}&page=2"),
        (f'<{PAGE}&page=2>; rel="nextish"', ""),
        ('</user/orgs?page=2>; rel="next"', "https://api.example.edu/user/orgs?page=2"),
        ("<<<>>>;;;rel=", ""),
    ],
)
def test_the_next_page_is_found(link, address):
    assert next_page(link, PAGE) == address


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "http://api.example.edu/", "https://api.example.edu:444/"]
)
def test_a_token_goes_to_no_other_host(target):
    with pytest.raises(UpstreamError, match="continues at another host"):
        next_page(f'<{target}>; rel="next"', PAGE)


@pytest.mark.parametrize(
    ("status", "headers", "document", "expected"),
    [
        (429, {}, {}, True),
        (403, {"x-ratelimit-remaining": "0"}, {}, True),
        (403, {"retry-after": "60"}, {}, True),
        (403, {}, {"message": "You have exceeded a secondary rate limit."}, True),
        (403, {}, {"message": "You have triggered an abuse detection mechanism."}, True),
        (403, {"x-ratelimit-remaining": "17"}, {"message": "Resource not accessible"}, False),
        (403, {}, {"message": 5}, False),
        (401, {"x-ratelimit-remaining": "0"}, {}, False),
        (404, {}, {}, False),
    ],
)
def test_a_rate_limit_is_told_from_a_refusal(status, headers, document, expected):
    assert is_rate_limit(status, HTTPHeaders(headers), document) is expected


@pytest.mark.parametrize(
    ("document", "status", "kind"),
    [
        ({"error": "invalid_grant"}, 400, TokenRefusedError),
        ({"error": "bad_refresh_token"}, 200, TokenRefusedError),
        ({"error": "invalid_client"}, 401, ConfigError),
        ({}, 401, ConfigError),
        ({"error": "temporarily_unavailable"}, 400, UpstreamError),
        ({"error": "invalid_client"}, 502, UpstreamError),
        ({}, 200, UpstreamError),
        ({"error": ["invalid_grant"]}, 400, UpstreamError),
    ],
)
def test_a_refused_token_request_says_whom_it_concerns(document, status, kind):
    url = "https://id.example.edu/token"
    error = token_error(document, status, url, "X.client_id")
    assert type(error) is kind
    assert url in str(error)


def test_what_the_token_endpoint_says_is_not_repeated():
    document = {"error": "Secret-Code-17", "error_description": "Secret-Code-17"}
    assert "Secret" not in str(token_error(document, 400, "https://x/", "X.client_id"))


def test_an_address_is_named_without_what_is_secret_in_it():
    url = "https://user:secret@id.example.edu:8443/userinfo?access_token=secret#secret"
    assert plain_url(url) == "https://id.example.edu:8443/userinfo"


@pytest.mark.parametrize("error", [OSError("x"), TimeoutError(), ValueError("secret")])
def test_the_networks_errors_are_an_outage(error):
    with (
        pytest.raises(UpstreamError, match="https://x/y cannot be asked") as raised,
        network_errors("https://x/y?secret"),
    ):
        raise error
    assert "secret" not in str(raised.value)


@given(st.binary())
def test_whatever_is_answered_is_json_or_an_outage(body):
    with contextlib.suppress(UpstreamError):
        parse_body(body, "https://x/")


@pytest.mark.parametrize("body", [b"[" * 1_000_000, b"9" * 10_000])
def test_json_that_no_parser_takes_is_an_outage(body):
    with pytest.raises(UpstreamError):
        parse_body(body, "https://x/")


@given(st.text())
def test_no_link_header_fails(link):
    with contextlib.suppress(UpstreamError):
        address = next_page(link, PAGE)
        assert not address or address.startswith("https://api.example.edu")
