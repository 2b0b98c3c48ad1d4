"""What can be known of a configuration without the world: keys, rules, options."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jupyterhub.crypto import KEY_ENV, CryptKeeper
from traitlets import TraitError
from traitlets.config import Config

from jhk8s_ext.cli.doctor.findings import Finding, doubtful, failed, passed
from jhk8s_ext.cli.option_check import sentence_of
from jhk8s_ext.hub.startup import check_crypt_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jhk8s_ext.cli.configuration import Configuration

_CHECK = "crypt_keys"
_HOW = "set it to the output of `openssl rand -hex 32`"

#: Authenticators with whose provider anybody on the Internet may have an account.
_PUBLIC = {
    "GitHubProfileAuthenticator": "GitHub",
    "GoogleProfileAuthenticator": "Google",
}


def check_keys(configuration: Configuration) -> Iterator[Finding]:
    """Check the keys that ``auth_state`` is encrypted with, in the order in which they count."""
    configured = configuration.options.get("CryptKeeper", {}).get("keys") or []
    if configured:
        yield from _check_configured(configured)
        return
    keys = [key for key in os.environ.get(KEY_ENV, "").split(";") if key.strip()]
    if not keys:
        if configuration.values is not None:
            yield passed(_CHECK, "the chart makes the key itself")
            return
        yield failed(_CHECK, "there is no key here, and auth_state cannot be kept", KEY_ENV, _HOW)
        return
    try:
        check_crypt_keys()
    except TraitError as error:
        problem = str(error).removeprefix(f"{KEY_ENV}: ")
        yield failed(_CHECK, problem, KEY_ENV, "each key stands between semicolons")
        return
    yield from _check_order(keys, KEY_ENV)


def _check_configured(keys: list[Any]) -> Iterator[Finding]:
    setting = "CryptKeeper.keys"
    for number, key in enumerate(keys, start=1):
        if not _is_key(key):
            text = f"key {number} of {len(keys)} is not 32 bytes in hexadecimal or base64"
            yield failed(_CHECK, text, f"{setting}[{number - 1}]", _HOW)
            return
    yield from _check_order(keys, setting)


def _is_key(key: Any) -> bool:
    try:
        CryptKeeper(keys=[key], config=Config())
    except (TraitError, ValueError):
        return False
    return True


def _check_order(keys: list[Any], setting: str) -> Iterator[Finding]:
    if len(set(keys)) < len(keys):
        yield doubtful(_CHECK, "a key is there twice", setting, "each is needed once")
    elif len(keys) == 1:
        yield passed(_CHECK, "one key")
    else:
        yield passed(
            _CHECK,
            f"{len(keys)} keys: the first encrypts, the others only read what is older",
        )


def secrets_of(configuration: Configuration) -> list[str]:
    """Return the texts of a configuration that nobody may see."""
    keys = configuration.options.get("CryptKeeper", {}).get("keys") or []
    found = [str(key) for key in keys]
    found += [key for key in os.environ.get(KEY_ENV, "").split(";") if key]
    for options in configuration.options.values():
        found += [
            value
            for name, value in options.items()
            if isinstance(value, str) and name.endswith(("password", "secret", "token"))
        ]
    return found


def check_rules(authenticator: Any) -> Iterator[Finding]:
    """Check that somebody may log in, and not everybody on the Internet."""
    name = type(authenticator).__name__
    if not authenticator.any_allow_config:
        yield failed(
            "allow_rules",
            "nobody may log in",
            f"{name}.allow_all",
            "set it, or another option whose name begins with allow",
        )
        return
    provider = next(
        (_PUBLIC[cls.__name__] for cls in type(authenticator).__mro__ if cls.__name__ in _PUBLIC),
        "",
    )
    is_bound = bool(getattr(authenticator, "hosted_domain", None))
    if provider and authenticator.allow_all and not is_bound:
        yield doubtful(
            "allow_rules",
            f"everybody with an account of {provider} may log in",
            f"{name}.allow_all",
            "name organisations, domains, groups or users instead",
        )
        return
    yield passed(
        "allow_rules",
        "everybody may log in"
        if authenticator.allow_all
        else "those may log in whom an allow option names",
    )


def check_options(authenticator: Any) -> Iterator[Finding]:
    """Check that the authenticator's options can work together."""
    try:
        authenticator.check_settings()
    except TraitError as error:
        setting, _, problem = sentence_of(error).partition(": ")
        yield failed("authenticator", problem or setting, setting)
        return
    yield passed("authenticator", f"the options of {type(authenticator).__name__} can work")
