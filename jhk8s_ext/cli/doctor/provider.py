"""A provider of logins: what the hub is registered as, and whether the provider answers."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tornado.httpclient import HTTPClientError

from jhk8s_ext.cli.doctor.certificates import (
    TlsOptions,
    explain_refusal,
    fetch_certificate,
    judge_expiry,
)
from jhk8s_ext.cli.doctor.clocks import judge_clock
from jhk8s_ext.cli.doctor.findings import Finding, doubtful, failed, passed, skipped
from jhk8s_ext.clients.oauth import plain_url
from jhk8s_ext.errors import UpstreamError
from jhk8s_ext.hub.cilogon import CILogonProfileAuthenticator
from jhk8s_ext.hub.github import GitHubProfileAuthenticator
from jhk8s_ext.hub.google import GoogleProfileAuthenticator
from jhk8s_ext.hub.oidc import GenericProfileAuthenticator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jhk8s_ext.hub.oauth import OAuthProfileAuthenticator

#: As GitHub gives them to OAuth apps (of old, and now) and to GitHub Apps, Google and CILogon.
_SHAPES = (
    (
        GitHubProfileAuthenticator,
        r"[0-9a-f]{20}|Ov[0-9A-Za-z]{18}|Iv\d+\.?[0-9A-Za-z]{16,}",
        "GitHub",
    ),
    (GoogleProfileAuthenticator, r"[0-9]+-[0-9a-z]+\.apps\.googleusercontent\.com", "Google"),
    (CILogonProfileAuthenticator, r"cilogon:/client_id/[0-9a-f]+|cilogon:.+", "CILogon"),
)

_OK = 200
_NOT_FOUND = 404
_SERVER_ERROR = 500

_ENDPOINTS = {
    "authorize_url": "authorization_endpoint",
    "token_url": "token_endpoint",
    "userdata_url": "userinfo_endpoint",
}


async def check_provider(
    authenticator: OAuthProfileAuthenticator, timeout_seconds: float
) -> list[Finding]:
    """Check the registration, then the provider's addresses, all at once."""
    findings = list(check_registration(authenticator))
    issuer = getattr(authenticator, "oidc_issuer", "")
    if issuer:
        setting = f"{type(authenticator).__name__}.oidc_issuer"
        findings += await _check_tls(authenticator, issuer, setting, timeout_seconds)
    discovery, document = await _discover(authenticator)
    findings += discovery
    findings += _check_scopes(authenticator, document)
    urls = {
        name: getattr(authenticator, name) or document.get(_ENDPOINTS[name]) for name in _ENDPOINTS
    }
    if authenticator.userdata_from_id_token:
        urls.pop("userdata_url")
    known = {name: url for name, url in urls.items() if isinstance(url, str) and url}
    for name in urls.keys() - known.keys():
        findings.append(skipped("provider.address", f"nobody says what {name} is"))
    answers = await asyncio.gather(
        *(_check_address(authenticator, name, url, timeout_seconds) for name, url in known.items())
    )
    told = {(finding.check, finding.text) for finding in findings}
    for answer in answers:
        for finding in answer:
            # Three addresses of one server have one certificate and one clock.
            if (finding.check, finding.text) not in told:
                told.add((finding.check, finding.text))
                findings.append(finding)
    return findings


def check_registration(authenticator: OAuthProfileAuthenticator) -> Iterator[Finding]:
    """Check what the provider knows the hub by."""
    name = type(authenticator).__name__
    yield _client_id(authenticator, name)
    if authenticator.client_secret:
        yield passed("provider.secret", "there is a client secret")
    elif authenticator.may_be_public and authenticator.enable_pkce:
        yield passed("provider.secret", "there is none: a public client, with PKCE")
    else:
        hint = "the provider gives one"
        yield failed("provider.secret", "it is empty", f"{name}.client_secret", hint)
    yield _callback(authenticator, name)


def _client_id(authenticator: OAuthProfileAuthenticator, name: str) -> Finding:
    check, setting, value = "provider.client_id", f"{name}.client_id", authenticator.client_id
    if not value:
        return failed(check, "it is empty", setting, "the provider gives one")
    if value != value.strip() or any(character.isspace() for character in value):
        return failed(check, f"{value!r} holds white space", setting)
    for cls, pattern, provider in _SHAPES:
        if isinstance(authenticator, cls) and not re.fullmatch(pattern, value):
            return doubtful(check, f"{value!r} does not look like one of {provider}'s", setting)
    return passed(check, f"{value!r}")


def _callback(authenticator: OAuthProfileAuthenticator, name: str) -> Finding:
    check, setting = "provider.callback_url", f"{name}.oauth_callback_url"
    url = authenticator.oauth_callback_url
    if not url:
        return passed(check, "made of the address that the browser used")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        hint = "write it as https://hub.example.edu/hub/oauth_callback"
        return failed(check, f"{url!r} is not a whole address", setting, hint)
    if not parts.path.endswith("/hub/oauth_callback"):
        hint = "it ends in /hub/oauth_callback"
        return doubtful(check, f"{url!r} is no address of a hub's", setting, hint)
    is_here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "http" and not is_here:
        return doubtful(check, f"{url!r} is not protected by TLS", setting, "use https")
    return passed(check, url)


async def _discover(
    authenticator: OAuthProfileAuthenticator,
) -> tuple[list[Finding], dict[str, Any]]:
    """Fetch the discovery document of an issuer (OpenID Connect Discovery 1.0, section 4)."""
    if not isinstance(authenticator, GenericProfileAuthenticator) or not authenticator.oidc_issuer:
        return [], {}
    check, setting = "provider.discovery", f"{type(authenticator).__name__}.oidc_issuer"
    issuer = authenticator.oidc_issuer.rstrip("/")
    url = f"{issuer}/.well-known/openid-configuration"
    try:
        response = await authenticator.httpfetch(url, parse_json=False, raise_error=False)
    except (UpstreamError, HTTPClientError) as error:
        return [failed(check, str(error), setting)], {}
    if response.code != _OK:
        return [failed(check, f"{plain_url(url)} answers {response.code}", setting)], {}
    try:
        document = json.loads(response.body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("issuer"), str):
        return [failed(check, f"{plain_url(url)} describes no issuer", setting)], {}
    if document["issuer"].rstrip("/") != issuer:
        text = f"{issuer!r} calls itself {document['issuer']!r}"
        return [failed(check, text, setting, "use the issuer's own spelling")], {}
    findings = [passed(check, f"{issuer} describes itself")]
    for name, key in _ENDPOINTS.items():
        mine, theirs = getattr(authenticator, name), document.get(key)
        if mine and theirs and mine != theirs:
            option = f"{type(authenticator).__name__}.{name}"
            findings.append(
                doubtful(check, f"{mine!r} is not the issuer's {key}, {theirs!r}", option)
            )
    return findings, document


def _check_scopes(
    authenticator: OAuthProfileAuthenticator, document: dict[str, Any]
) -> Iterator[Finding]:
    check, setting = "provider.scopes", f"{type(authenticator).__name__}.scope"
    scopes = list(authenticator.scope)
    is_generic = isinstance(authenticator, GenericProfileAuthenticator)
    wants_openid = is_generic and (
        authenticator.userdata_from_id_token or getattr(authenticator, "oidc_issuer", "")
    )
    if wants_openid and "openid" not in scopes:
        text = f"{scopes} does not hold 'openid', without which there is no id token"
        yield failed(check, text, setting, "add openid")
        return
    # What options need is refused with the options themselves; this is for the groups.
    is_github = isinstance(authenticator, GitHubProfileAuthenticator)
    if is_github and not {"read:org", "write:org", "admin:org"} & set(scopes):
        text = f"{scopes} does not show private memberships: such groups are left out"
        yield doubtful(check, text, setting, "add read:org")
        return
    offered = document.get("scopes_supported")
    unknown = [scope for scope in scopes if isinstance(offered, list) and scope not in offered]
    if unknown:
        yield doubtful(check, f"the provider does not offer {', '.join(unknown)}", setting)
        return
    yield passed(check, ", ".join(scopes) or "none are asked for")


async def _check_address(
    authenticator: OAuthProfileAuthenticator, name: str, url: str, timeout_seconds: float
) -> list[Finding]:
    setting = f"{type(authenticator).__name__}.{name}"
    issuer = getattr(authenticator, "oidc_issuer", "")
    if issuer and not getattr(authenticator, name):
        setting = f"{type(authenticator).__name__}.oidc_issuer"
    who = urlsplit(url).netloc
    findings = await _check_tls(authenticator, url, setting, timeout_seconds)
    check = "provider.address"
    try:
        # Any answer will do: a token endpoint takes no GET, and a page needs a user.
        response = await authenticator.httpfetch(
            url, parse_json=False, raise_error=False, follow_redirects=False
        )
    except (UpstreamError, HTTPClientError) as error:
        return [*findings, failed(check, str(error), setting)]
    if response.code == _NOT_FOUND:
        text = f"{plain_url(url)} answers 404: there is no such address"
        findings.append(failed(check, text, setting))
    elif response.code >= _SERVER_ERROR:
        findings.append(failed(check, f"{plain_url(url)} answers {response.code}", setting))
    else:
        findings.append(passed(check, f"{plain_url(url)} answers"))
    return [*findings, judge_clock(who, response.headers.get("Date"))]


async def _check_tls(
    authenticator: OAuthProfileAuthenticator, url: str, setting: str, timeout_seconds: float
) -> list[Finding]:
    check, parts = "provider.certificate", urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        if parts.hostname in ("localhost", "127.0.0.1", "::1"):
            return []
        return [doubtful(check, f"{parts.netloc} is asked without TLS", setting, "use https")]
    kind = f"{type(authenticator).__name__}.validate_server_cert"
    if not authenticator.validate_server_cert:
        return [doubtful(check, f"the certificate of {parts.netloc} is not verified", kind)]
    authority = f"{type(authenticator).__name__}.http_request_kwargs"
    given = authenticator.http_request_kwargs.get("ca_certs")
    try:
        context = ssl.create_default_context(cafile=given)
        certificate = await fetch_certificate(
            parts.hostname, parts.port or 443, context, timeout_seconds
        )
    except (OSError, asyncio.TimeoutError) as error:
        options = TlsOptions(server=setting, authority=authority, protocol=setting)
        found = explain_refusal(check, parts.netloc, error, options)
        # Whatever else is wrong, the request meets too.
        return [found] if found else []
    return [judge_expiry(check, parts.netloc, certificate, setting)]
